"""What RocketMQ Dashboard's pages ask of its server, and what the answers must hold.

A case is (page, method, path, what is asked, patterns that the answer must match as JSON). Values in braces are filled in
from the scene; of patterns, with what is special in them quoted. Cases run in order, each after the one before.
"""

ALL_DAY = {"begin": "{begin}", "end": "{end}", "pageSize": 4, "taskId": ""}
# What the form for a new group holds.
NEW_GROUP = {
    "autoCommit": True, "consumeBroadcastEnable": False, "consumeEnable": True, "consumeMessageOrderly": False,
    "consumeTimeoutMinute": 10, "groupSysFlag": 0, "retryMaxTimes": 16, "retryQueueNums": 2, "brokerId": 0,
    "whichBrokerWhenConsumeSlowly": 0,
}
ON_BROKER = {"brokerNameList": ["broker-a"], "clusterNameList": []}


def group(name, **changes):
    return {"body": {"subscriptionGroupConfig": {"groupName": name, **NEW_GROUP, **changes}, **ON_BROKER}}


def topic(name, **changes):
    return {"body": {"topicName": name, "writeQueueNums": 3, "readQueueNums": 3, "perm": 6, "order": False,
                     "messageType": "FIFO", **ON_BROKER, **changes}}


def page(of, number):
    return {"body": {"topic": of, "pageNum": number, **ALL_DAY}}


def reset(name, at):
    return {"body": {"consumerGroupList": [name], "topic": "{topic}", "resetTime": at, "force": True}}


# `topic` has 10 messages in 4 queues, all consumed by `group`, whose one member is online, as is the producer group
# `producers`. `failing` gave its messages up; `traced_id` was sent and consumed with traces.
CASES = [
    ("ops", "GET", "/ops/homePage.query", {}, [r'"currentNamesrv": "{ns}"']),
    ("cluster", "GET", "/cluster/list.query", {},
     [r'"clusterAddrTable": \{{"DefaultCluster": \["broker-a"\]\}}', r'"0": "{broker}"', r'"brokerVersionDesc": "Mainspring',
      r'"msgPutTotalTodayNow": "\d\d"', r'"msgGetTotalTodayMorning": "0"', r'"getTransferredTps": "\d+\.\d\d \d']),
    ("cluster", "GET", "/cluster/brokerConfig.query", {"brokerAddr": "{broker}"}, [r'"brokerName": "broker-a"']),
    ("topics", "GET", "/topic/list.query", {"skipSysProcess": "false"}, [r'"{topic}"', r'"%SYS%TBW102"']),
    ("topics", "POST", "/topic/createOrUpdate.do", topic("{topic}Made"), [r"^true$"]),
    ("topics", "GET", "/topic/list.queryTopicType", {},
     [r'"topicNameList": \[.*"{topic}Made"', r'"messageTypeList": \[.*"FIFO"', r'"RETRY"', r'"SYSTEM"']),
    ("topics", "GET", "/topic/examineTopicConfig.query", {"topic": "{topic}Made"},
     [r'"messageType": "FIFO"', r'"writeQueueNums": 3']),
    ("topics", "GET", "/topic/stats.query", {"topic": "{topic}"},
     [r'topic={topic}, brokerName=broker-a, queueId=3\]": \{{"[^}}]*"maxOffset": [23]\b']),
    ("topics", "GET", "/topic/route.query", {"topic": "{topic}"}, [r'"readQueueNums": 4', r'"0": "{broker}"']),
    ("topics", "GET", "/topic/queryConsumerByTopic.query", {"topic": "{topic}"},
     [r'"{group}": \{{[^\]]*"diffTotal": 0', r'"clientInfo": "[^"]+@{group}"', r'"consumerOffset": [23]\b']),
    ("topics", "GET", "/topic/queryTopicConsumerInfo.query", {"topic": "{topic}"}, [r'"{group}"']),
    ("topics", "POST", "/topic/sendTopicMessage.do",
     {"body": {"topic": "{topic}Made", "key": "k", "tag": "t", "messageBody": "hello", "traceEnabled": True}},
     [r'"sendStatus": "SEND_OK"', r'"msgId": "(?P<sent_id>\w+)"']),
    ("topics", "POST", "/topic/createOrUpdate.do", topic("bad!"), [r"status -1: .*bad!"]),
    ("messages", "GET", "/message/queryMessageByTopicAndKey.query", {"topic": "{topic}Made", "key": "k"},
     [r'"messageBody": "hello"', r'"TAGS": "t"']),
    ("topics", "POST", "/topic/deleteTopic.do", {"topic": "{topic}Made", "clusterName": "DefaultCluster"}, [r"^true$"]),
    ("topics", "GET", "/topic/list.query", {}, [r'^(?!.*"{topic}Made").*"{topic}"']),
    ("consumers", "GET", "/consumer/groupList.query", {"skipSysGroup": "false"},
     [r'"group": "{group}", "version": "V\d_\d_\d", "count": 1, "consumeType": "CONSUME_PASSIVELY"']),
    ("consumers", "POST", "/consumer/createOrUpdate.do", group("{group}New"), [r"^true$"]),
    ("consumers", "GET", "/consumer/group.refresh.all", {}, [r'"group": "{group}New"[^}}]*"count": 0']),
    ("consumers", "GET", "/consumer/group.refresh", {"consumerGroup": "{group}"}, [r'"diffTotal": 0', r'"count": 1']),
    ("consumers", "GET", "/consumer/examineSubscriptionGroupConfig.query", {"consumerGroup": "{group}New"},
     [r'"retryQueueNums": 2', r'"brokerNameList": \["broker-a"\]']),
    ("consumers", "POST", "/consumer/createOrUpdate.do", group("{group}New", consumeMessageOrderly=True),
     [r"status -1: .*consumeMessageOrderly is about pop"]),
    ("consumers", "GET", "/consumer/fetchBrokerNameList.query", {"consumerGroup": "{group}New"}, [r'^\["broker-a"\]$']),
    ("consumers", "GET", "/consumer/queryTopicByConsumer.query", {"consumerGroup": "{group}", "address": "{broker}"},
     [r'"topic": "{topic}", "diffTotal": 0', r'"topic": "%RETRY%{group}"']),
    ("consumers", "GET", "/consumer/consumerConnection.query", {"consumerGroup": "{group}", "address": "{broker}"},
     [r'"clientId": "(?P<client>[^"]+)"', r'"language": "JAVA"', r'"subString": "\*"', r'"messageModel": "CLUSTERING"']),
    ("consumers", "GET", "/consumer/consumerRunningInfo.query",
     {"consumerGroup": "{group}", "clientId": "{client}", "jstack": "true"},
     [r'"PROP_CONSUME_TYPE": "CONSUME_PASSIVELY"', r'topic={topic}, brokerName=broker-a', r'"jstack": "[^"]*PullMessage']),
    ("consumers", "POST", "/consumer/resetOffset.do", reset("{group}", 0), [r'"status": true', r'"rollbackOffset": 0']),
    ("consumers", "POST", "/consumer/skipAccumulate.do", reset("{group}", -1), [r'"status": true', r'"rollbackOffset": [23]\b']),
    ("consumers", "POST", "/consumer/resetOffset.do", reset("{group}New", 0), [r'"status": true', r'"rollbackOffset": 0']),
    ("consumers", "POST", "/consumer/deleteSubGroup.do", {"body": {"groupName": "{group}New", **ON_BROKER}}, [r"^true$"]),
    ("producers", "GET", "/producer/producerConnection.query", {"producerGroup": "{producers}", "topic": "{topic}"},
     [r'"clientId": "[^"]+@{producers}"', r'"versionDesc": "V\d']),
    ("messages", "POST", "/message/queryMessagePageByTopic.query", page("{topic}", 1),
     [r'"totalElements": 1\d\b', r'"numberOfElements": 4\b', r'"messageBody": "body\d"']),
    ("messages", "GET", "/message/queryMessageByTopic.query", {"topic": "{topic}", "begin": "{begin}", "end": "{end}"},
     [r'"KEYS": "key0"', r'"KEYS": "key9"']),
    ("messages", "GET", "/message/queryMessageByTopicAndKey.query", {"topic": "{topic}", "key": "key0"},
     [r'"messageBody": "body0"', r'"UNIQ_KEY": "{unique_id}"']),
    ("messages", "GET", "/message/viewMessage.query", {"topic": "{topic}", "msgId": "{unique_id}"},
     [r'"messageBody": "body0"', r'"consumerGroup": "{group}", "trackType": "CONSUMED"', r'"storeHost": "{broker}"']),
    ("messages", "POST", "/message/consumeMessageDirectly.do",
     {"topic": "{topic}", "consumerGroup": "{group}", "msgId": "{unique_id}"}, [r'"consumeResult": "CR_SUCCESS"']),
    ("dead letters", "POST", "/dlqMessage/queryDlqMessageByConsumerGroup.query", page("%DLQ%{failing}", 1),
     [r'"totalElements": [1-9]\d\b', r'"msgId": "(?P<dead_id>\w+)"', r'"RETRY_TOPIC": "{topic}"']),
    ("dead letters", "POST", "/dlqMessage/queryDlqMessageByConsumerGroup.query", page("%DLQ%{group}", 1),
     [r'"totalElements": 0\b']),
    ("dead letters", "GET", "/message/viewMessage.query", {"topic": "%DLQ%{failing}", "msgId": "{dead_id}"},
     [r'"topic": "%DLQ%{failing}"', r'"messageBody": "body\d"']),
    ("dead letters", "POST", "/dlqMessage/batchResendDlqMessage.do",
     {"body": [{"topicName": "%DLQ%{failing}", "msgId": "{dead_id}", "consumerGroup": "{failing}"}]},
     [r'"consumeResult": "CR_LATER"']),
    ("traces", "GET", "/messageTrace/viewMessage.query", {"topic": "{topic}", "msgId": "{traced_id}"}, [r'"messageBody": "body0"']),
    ("traces", "GET", "/messageTrace/viewMessageTraceDetail.query", {"msgId": "{traced_id}"},
     [r'"traceType": "Pub"', r'"groupName": "Traced"']),
    ("traces", "GET", "/messageTrace/viewMessageTraceGraph.query", {"msgId": "{traced_id}"},
     [r'"producerNode": \{{.*"groupName": "Traced"', r'"subscriptionGroup": "{group}Traced"', r'"status": "success"']),
    # The collector looks once a minute.
    ("dashboard", "GET", "/dashboard/broker.query", {"date": "{day}"}, [r'"broker-a:0": \["\d{{13}},\d+\.\d{{5}}"']),
    ("dashboard", "GET", "/dashboard/topic.query", {"date": "{day}"}, [r'"{topic}": \["\d{{13}},[\d.]+,1\d,']),
    ("dashboard", "GET", "/dashboard/topicCurrent.query", {}, [r'"{topic},\d+"']),
    ("users", "GET", "/acl/users.query", {"brokerName": "broker-a"}, [r"status -1: Failed to list users"]),
]
