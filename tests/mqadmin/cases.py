"""What each command must print. Values in braces are filled in from the scene.

A case is (command and its words, patterns that the output must match). Cases run in order, each after the one before.
Words that begin with "!" are the runner's own, see Main.java; the named groups of their patterns become values.
"""

# Commands that go on until somebody ends them: the first pattern is enough.
ENDLESS = {"clusterRT"}

# Against the broker with its messages: `topic` has 10 messages in 4 queues, all consumed by `group`, whose one member
# is online, as is the producer group `producers`.
WORKS = [
    ("clusterList -n {ns}", [r"DefaultCluster +broker-a +0 +{broker} +Mainspring"]),
    ("clusterList -n {ns} -m", [r"DefaultCluster +broker-a +0 +0 +1\d +1\d"]),
    ("topicList -n {ns}", [r"(?m)^{topic}$", r"(?m)^TBW102$", r"(?m)^%RETRY%{group}$"]),
    ("topicList -n {ns} -c", [r"DefaultCluster +{topic} +{group}"]),
    ("topicRoute -n {ns} -t {topic}", [r"{broker}", r'"readQueueNums":4']),
    ("topicStatus -n {ns} -t {topic}", [r"broker-a +0 +0 +[23] +20\d\d-", r"broker-a +3 +0 +[23] +20\d\d-"]),
    ("topicClusterList -n {ns} -t {topic}", [r"(?m)^DefaultCluster$"]),
    ("updateTopic -n {ns} -b {broker} -t {topic}B -r 3 -w 2", [r"create topic to {broker} success", r"readQueueNums=3, writeQueueNums=2"]),
    ("topicRoute -n {ns} -t {topic}B", [r'"readQueueNums":3', r'"writeQueueNums":2']),
    ("updateTopicPerm -n {ns} -b {broker} -t {topic}B -p 4", [r"update topic perm from 6 to 4 in {broker} success"]),
    ("topicRoute -n {ns} -t {topic}B", [r'"perm":4']),
    ("updateOrderConf -n {ns} -t {topic} -m put -v broker-a:4", [r"update orderConf success"]),
    ("updateOrderConf -n {ns} -t {topic} -m get", [r"orderConf=\[broker-a:4\]"]),
    ("topicRoute -n {ns} -t {topic}", [r'"orderTopicConf":"broker-a:4"']),
    ("updateOrderConf -n {ns} -t {topic} -m delete", [r"delete orderConf success"]),
    ("allocateMQ -n {ns} -t {topic} -i 10.0.0.1,10.0.0.2", [r'"10.0.0.1":\[\{{"brokerName":"broker-a"', r'"10.0.0.2"']),
    ("deleteTopic -n {ns} -c DefaultCluster -t {topic}B", [r"from cluster \[DefaultCluster\] success", r"from NameServer success"]),
    ("topicList -n {ns}", [r"(?m)\A(?!(.|\n)*^{topic}B$)"]),
    ("updateSubGroup -n {ns} -c DefaultCluster -g {group}B -d true -q 2 -r 5",
     [r"create subscription group to {broker} success", r"retryQueueNums=2, retryMaxTimes=5"]),
    ("brokerStatus -n {ns} -b {broker}",
     [r"brokerActive +: true", r"msgPutTotalTodayNow +: 10\n", r"msgGetTotalTodayNow +: 10\n",
      r"putMessageSizeTotal +: 50\n", r"earliestMessageTimeStamp +: \d{{13}}"]),
    ("brokerStatus -n {ns} -c DefaultCluster", [r"{broker} +putTps +: \d+\.\d\d \d+\.\d\d \d+\.\d\d"]),
    ("brokerConsumeStats -n {ns} -b {broker}", [r"{topic} +{group} +broker-a +3 +[23] +[23] +0 ", r"Diff Total: 0"]),
    ("getBrokerConfig -n {ns} -b {broker}", [r"brokerName += +broker-a", r"flushDiskType += +ASYNC_FLUSH"]),
    ("getNamesrvConfig -n {ns}", [r"brokerName += +broker-a"]),
    ("consumerProgress -n {ns} -g {group}", [r"{topic} +broker-a +0 +[23] +[23] +0 ", r"Consume Diff Total: 0|Diff Total: 0"]),
    ("consumerProgress -n {ns}", [r"{group} +1 +V\d_\d_\d +PUSH +CLUSTERING +\d+ +0"]),
    ("consumerConnection -n {ns} -g {group}",
     [r"@{group} +127\.0\.0\.1:\d+ +JAVA +V\d", r"{topic} +\*", r"MessageModel: CLUSTERING", r"ConsumeType: CONSUME_PASSIVELY"]),
    ("producerConnection -n {ns} -g {producers} -t {topic}", [r"@{producers} +127\.0\.0\.1:\d+ +JAVA +V\d"]),
    ("producer -n {ns} -b {broker}", [r"producer group \({producers}\) instance : clientId=\S+@{producers}"]),
    ("cloneGroupOffset -n {ns} -s {group} -d {group}B -t {topic}", [r"clone group offset success"]),
    ("sendMessage -n {ns} -t {topic} -p hello -b broker-a -i 1", [r"broker-a +1 +SEND_OK"]),
    ("consumerProgress -n {ns} -g {group}B", [r"{topic} +broker-a +1 +[34] +[23] +1 ", r"Diff Total: 1"]),
    ("queryMsgByOffset -n {ns} -t {topic} -b broker-a -i {queue} -o {offset}",
     [r"OffsetID: +{offset_id}", r"Tags: +\[TagA\]", r"Keys: +\[key0\]", r"UNIQ_KEY={unique_id}"]),
    ("queryMsgByKey -n {ns} -t {topic} -k key0", [r"{unique_id} +{queue} +{offset}"]),
    ("queryMsgByUniqueKey -n {ns} -t {topic} -i {unique_id}", [r"Queue ID: +{queue}", r"Queue Offset: +{offset}", r"Keys: +\[key0\]", r"UNIQ_KEY={unique_id}"]),
    ("updateTopic -n {ns} -b {broker} -t RMQ_SYS_TRACE_TOPIC -r 1 -w 1", [r"create topic to {broker} success"]),
    ("!trace Traced {topic}", [r"sent (?P<traced_id>\S+) "]),
    ("queryMsgTraceById -n {ns} -i {traced_id}", [r"Pub +Traced +\S+ +20\S+ \S+ +\d+ms +success"]),
    ("queryCq -n {ns} -t {topic} -q {queue} -i {offset} -c 1 -b {broker}", [r"min: 0", r"physicSize=\d+, tagsCode=2598919"]),
    ("printMsg -n {ns} -t {topic}", [r"{unique_id}", r"BODY: body0", r"BODY: body9", r"BODY: hello"]),
    ("printMsgByQueue -n {ns} -t {topic} -a broker-a -i {queue} -p true -d true", [r"{unique_id}", r"BODY: body0"]),
    ("consumeMessage -n {ns} -t {topic} -b broker-a -i {queue} -o {offset} -c 1", [r"Consume ok", r"{unique_id}"]),
    ("checkMsgSendRT -n {ns} -t {topic} -a 3 -s 10", [r"broker-a +0 +true +\d+", r"Avg RT: \d"]),
    ("sendMsgStatus -n {ns} -b broker-a -s 10 -c 2", [r"sendStatus=SEND_OK", r"topic=broker-a"]),
    ("clusterRT -n {ns} -a 2 -s 10 -i 1", [r"DefaultCluster +broker-a +\d+\.\d+ +2 +0"]),
    ("consumerStatus -n {ns} -g {group}", [r"@{group} +V\d"]),
    ("statsAll -n {ns} -t {topic}", [r"{topic} +{group} +0 +\d+\.\d\d +\d+\.\d\d +1\d +1\d"]),
    ("cleanExpiredCQ -n {ns} -b {broker}", [r"success"]),
    ("cleanUnusedTopic -n {ns} -b {broker}", [r"success"]),
    ("wipeWritePerm -n {ns} -b broker-a", [r"wipe write perm of broker\[broker-a\] in name server\[{ns}\] OK, [1-9]"]),
    ("topicRoute -n {ns} -t {topic}", [r'"perm":4']),
    ("addWritePerm -n {ns} -b broker-a", [r"add write perm of broker\[broker-a\] in name server\[{ns}\] OK, [1-9]"]),
    ("topicRoute -n {ns} -t {topic}", [r'"perm":6']),
    ("resetOffsetByTime -n {ns} -g {group}B -t {topic} -s 0", [r"broker-a +0 +0"]),
    ("consumerProgress -n {ns} -g {group}B", [r"{topic} +broker-a +3 +(\d+) +0 +\1 "]),
    ("skipAccumulatedMessage -n {ns} -g {group}B -t {topic}", [r"broker-a +1 +\d"]),
    ("consumerProgress -n {ns} -g {group}B", [r"Diff Total: 0"]),
    ("deleteSubGroup -n {ns} -c DefaultCluster -g {group}B -r true", [r"delete subscription group \[{group}B\] from broker \[{broker}\]( in cluster \[DefaultCluster\])? success"]),
    ("topicList -n {ns}", [r"(?m)\A(?!(.|\n)*^%RETRY%{group}B$)"]),
    ("exportMetadata -n {ns} -c DefaultCluster -f {files}", [r"success"]),
    ("exportConfigs -n {ns} -c DefaultCluster -f {files}", [r"success"]),
    ("exportMetrics -n {ns} -c DefaultCluster -f {files}", [r"success"]),
]

# Whose options differ between the versions.
WORKS_4 = [
    ("queryMsgById -n {ns} -i {offset_id}", [r"OffsetID: +{offset_id}", r"Keys: +\[key0\]", r"UNIQ_KEY={unique_id}"]),
]

# Commands and options that only 5.x has.
WORKS_5 = [
    ("queryMsgById -n {ns} -t {topic} -i {offset_id}", [r"Queue ID: +{queue}", r"Queue Offset: +{offset}", r"Keys: +\[key0\]", r"UNIQ_KEY={unique_id}"]),
    ("deleteExpiredCommitLog -n {ns} -b {broker}", [r"success"]),
    ("setConsumeMode -n {ns} -b {broker} -t {topic} -g {group} -m PULL -q 0", [r"set consume mode to {broker} success"]),
    ("updateTopicList -n {ns} -b {broker} -f {files}/topics", [r"submit batch of topic config to {broker} success"]),
    ("updateTopic -n {ns} -b {broker} -t {topic}B -r 3 -w 2 -a +store.once=true,+message.type=NORMAL",
     [r"create topic to {broker} success"]),
    ("topicRoute -n {ns} -t {topic}L2", [r'"readQueueNums":2']),
    ("updateSubGroupList -n {ns} -b {broker} -f {files}/groups", [r"submit batch of group config to {broker} success"]),
    ("getConsumerConfig -n {ns} -g {group}L", [r"retryMaxTimes += +7"]),
]

# What is refused, and the reason that the operator is told.
REFUSED = [
    ("updateBrokerConfig -n {ns} -b {broker} -k autoCreateTopicEnable -v false", r"settings are read at start"),
    ("updateNamesrvConfig -n {ns} -k a -v b", r"settings are read at start"),
    ("updateKvConfig -n {ns} -s NS -k K -v V", r"no settings are kept in the namespace NS"),
    ("deleteKvConfig -n {ns} -s NS -k K", r"no settings are kept in the namespace NS"),
    ("updateOrderConf -n {ns} -t {topic} -m put -v broker-a:5", r"can only be broker-a:4"),
    ("updateTopic -n {ns} -b {broker} -t SCHEDULE_TOPIC_XXXX", r"system"),
    ("updateTopic -n {ns} -b {broker} -t bad! -r 1 -w 1", r"bad!"),
]

REFUSED_5 = [
    ("haStatus -n {ns} -b {broker}", r"no slaves and no controller"),
    ("resetMasterFlushOffset -n {ns} -b {broker} -o 1", r"no slaves and no controller"),
    ("getBrokerEpoch -n {ns} -b broker-a", r"no slaves and no controller"),
    ("setConsumeMode -n {ns} -b {broker} -t {topic} -g {group} -m POP -q 0", r"the mode POP is not served"),
    ("getColdDataFlowCtrInfo -n {ns} -b {broker}", r"cold data"),
    ("updateColdDataFlowCtrGroupConfig -n {ns} -b {broker} -g {group} -v 1", r"cold data"),
    ("removeColdDataFlowCtrGroupConfig -n {ns} -b {broker} -g {group}", r"cold data"),
    ("setCommitLogReadAheadMode -n {ns} -b {broker} -m 1", r"cold data"),
    ("createUser -n {ns} -b {broker} -u u -p p", r"no users and no access rules"),
    ("updateUser -n {ns} -b {broker} -u u -p p", r"no users and no access rules"),
    ("deleteUser -n {ns} -b {broker} -u u", r"no users and no access rules"),
    ("getUser -n {ns} -b {broker} -u u", r"no users and no access rules"),
    ("listUser -n {ns} -b {broker}", r"no users and no access rules"),
    ("createAcl -n {ns} -b {broker} -s User:u -r Topic:* -a Pub -d Allow", r"no users and no access rules"),
    ("updateAcl -n {ns} -b {broker} -s User:u -r Topic:* -a Pub -d Allow", r"no users and no access rules"),
    ("deleteAcl -n {ns} -b {broker} -s User:u", r"no users and no access rules"),
    ("getAcl -n {ns} -b {broker} -s User:u", r"no users and no access rules"),
    ("listAcl -n {ns} -b {broker}", r"no users and no access rules"),
    ("updateStaticTopic -n {ns} -c DefaultCluster -t {topic}S -qn 2", r"static topics"),
    ("checkRocksdbCqWriteProgress -n {ns} -c DefaultCluster", r"RocksDB"),
    ("switchTimerEngine -n {ns} -b {broker} -e F", r"one timer engine"),
    ("exportPopRecord -n {ns} -b {broker}", r"pop"),
    ("getBrokerLiteInfo -n {ns} -b {broker}", r"lite topics"),
]
