package clients;

import static clients.Kit.check;
import static clients.Kit.consumer;
import static clients.Kit.fresh;
import static clients.Kit.join;
import static clients.Kit.message;
import static clients.Kit.numbered;
import static clients.Kit.ok;
import static clients.Kit.producer;
import static clients.Kit.push;
import static clients.Kit.same;
import static clients.Kit.send;
import static clients.Kit.succeed;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What the broker tells clients and asks them, and what members of a group are to each other. */
final class Talking {
    static void register() {
        Main.add("push_orderly_restart", Talking::pushOrderlyRestart);
        Main.add("push_broadcast", Talking::pushBroadcast);
        Main.add("namespace", Talking::namespace);
        Main.add("request_reply", Talking::requestReply);
        Main.add("running_info", Talking::runningInfo);
        Main.add("consume_directly", Talking::consumeDirectly);
        Main.add("reset_while_consuming", Talking::resetWhileConsuming);
    }

    // ---- members of a group -----------------------------------------------------------------------------------

    /** One orderly consumer stops in the middle, another takes its queues and goes on: all once, in order. */
    private static void pushOrderlyRestart() throws Exception {
        String topic = fresh("restart");
        String group = fresh("g");
        DefaultMQProducer sender = producer();
        List<String> bodies = new ArrayList<>();
        for (int number = 0; number < 80; number++) {
            String body = number % 4 + ":" + number / 4;
            bodies.add(body);
            ok(sender.send(message(topic, body), (queues, message, key) -> queues.get((int) key), number % 4));
        }
        Kit.Inbox first = new Kit.Inbox();
        AtomicBoolean stopping = new AtomicBoolean();
        DefaultMQPushConsumer stops = orderly(group, topic, first, stopping);
        first.await(20);
        // The client goes on with what it has cached while it shuts down, and commits no more: that would come again.
        stopping.set(true);
        Thread.sleep(500);
        stops.shutdown();
        List<String> before = first.bodies();
        check(before.size() < 80, "all 80 came before the first stopped");
        Kit.Inbox second = new Kit.Inbox();
        orderly(group, topic, second, new AtomicBoolean());
        second.await(80 - before.size());
        Thread.sleep(1000);
        List<String> all = join(before, second.bodies());
        same(all.size(), 80, "deliveries");
        for (int key = 0; key < 4; key++) {
            String prefix = key + ":";
            same(all.stream().filter(body -> body.startsWith(prefix)).toList(),
                bodies.stream().filter(body -> body.startsWith(prefix)).toList(), "order of key " + key);
        }
    }

    private static DefaultMQPushConsumer orderly(String group, String topic, Kit.Inbox inbox, AtomicBoolean stopping)
            throws Exception {
        DefaultMQPushConsumer made = consumer(group);
        made.subscribe(topic, "*");
        made.setConsumeMessageBatchMaxSize(1);
        made.registerMessageListener((List<MessageExt> messages, ConsumeOrderlyContext context) -> {
            if (stopping.get()) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            messages.forEach(inbox::put);
            try {
                Thread.sleep(20);
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        made.start();
        return made;
    }

    /** Every member gets everything; what one fails does not come again, and there is no retry topic. */
    private static void pushBroadcast() throws Exception {
        String topic = fresh("broadcast");
        String group = fresh("g");
        DefaultMQProducer sender = producer();
        List<String> bodies = numbered("all", 40);
        send(sender, topic, bodies.subList(0, 20));
        List<Kit.Inbox> inboxes = List.of(new Kit.Inbox(), new Kit.Inbox());
        for (Kit.Inbox inbox : inboxes) {
            DefaultMQPushConsumer member = consumer(group);
            // The enum's package differs between 4.x and 5.x, its values do not.
            member.setMessageModel(member.getMessageModel().valueOf("BROADCASTING"));
            push(member, topic, "*", inbox, (got, context) -> ConsumeConcurrentlyStatus.RECONSUME_LATER);
        }
        inboxes.get(0).await(20);
        send(sender, topic, bodies.subList(20, 40));
        for (Kit.Inbox inbox : inboxes) {
            inbox.exactly(bodies, 3000);
        }
        boolean retried = true;
        try {
            sender.fetchPublishMessageQueues("%RETRY%" + group);
        } catch (Exception absent) {
            retried = false;
        }
        check(!retried, "a broadcast group has a retry topic");
    }

    /** The client puts its namespace before names and takes it off again; failures stay in it too. */
    private static void namespace() throws Exception {
        String space = fresh("ns");
        String topic = fresh("topic");
        String group = fresh("g");
        DefaultMQProducer sender = new DefaultMQProducer(space, fresh("pg"));
        sender.setNamesrvAddr(Kit.NAMESRV);
        sender.setInstanceName(fresh("instance"));
        sender.start();
        ok(sender.send(message(topic, "first")));
        for (boolean prepared : new boolean[] {false, true}) {
            Kit.Inbox inbox = new Kit.Inbox();
            DefaultMQPushConsumer made = consumer(group);
            made.setNamespace(space);
            push(made, topic, "*", inbox, (got, context) -> {
                boolean bad = got.body().equals("bad") && got.round() == 0;
                return bad ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            if (prepared) {
                ok(sender.send(message(topic, "bad")));
                List<Kit.Got> all = inbox.await(2);
                for (Kit.Got got : all) {
                    same(got.message().getTopic(), topic, "topic as the listener sees it");
                }
                same(all.get(1).round(), 1, "reconsume times");
            } else {
                inbox.await(1);
                Thread.sleep(1000);
                made.shutdown();
            }
        }
        same(push(fresh("g"), space + "%" + topic, "*").await(2).get(0).message().getTopic(), space + "%" + topic, "whole name");
        check(!producer().fetchPublishMessageQueues("%RETRY%" + space + "%" + group).isEmpty(), "the retry topic has no route");
    }

    // ---- questions and answers --------------------------------------------------------------------------------

    private static void requestReply() throws Exception {
        String topic = fresh("request");
        DefaultMQProducer asker = producer();
        DefaultMQProducer replier = producer();
        send(replier, topic, List.of("first"));
        Kit.Inbox inbox = new Kit.Inbox();
        push(fresh("g"), topic, "*", inbox, (got, context) -> {
            if (!got.body().equals("first")) {
                try {
                    byte[] body = ("re: " + got.body()).getBytes(StandardCharsets.UTF_8);
                    ok(replier.send(MessageUtil.createReplyMessage(got.message(), body), 3000));
                } catch (Exception failure) {
                    System.out.println("note request_reply " + Kit.oneLine(failure));
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        inbox.await(1);
        for (String body : numbered("ask", 5)) {
            Message reply = asker.request(message(topic, body), 10_000);
            same(new String(reply.getBody(), StandardCharsets.UTF_8), "re: " + body, "reply");
        }
    }

    /** A group with one member, 40 messages behind it. */
    private record Scene(String topic, String group, String client, Kit.Inbox inbox, List<String> bodies) {
        static Scene of(String name) throws Exception {
            String topic = fresh(name);
            String group = fresh("g");
            List<String> bodies = numbered(name, 40);
            send(producer(), topic, bodies);
            Kit.Inbox inbox = new Kit.Inbox();
            DefaultMQPushConsumer made = push(group, topic, "*", inbox, succeed());
            inbox.exactly(bodies, 1500); // its offsets are committed
            return new Scene(topic, group, made.buildMQClientId(), inbox, bodies);
        }
    }

    private static DefaultMQAdminExt admin() throws Exception {
        DefaultMQAdminExt made = new DefaultMQAdminExt(20_000);
        made.setNamesrvAddr(Kit.NAMESRV);
        made.setInstanceName(fresh("instance"));
        made.start();
        return made;
    }

    private static void runningInfo() throws Exception {
        Scene at = Scene.of("info");
        DefaultMQAdminExt admin = admin();
        var info = admin.getConsumerRunningInfo(at.group(), at.client(), true);
        Set<String> topics = info.getSubscriptionSet().stream().map(one -> one.getTopic()).collect(Collectors.toSet());
        same(topics, Set.of(at.topic(), "%RETRY%" + at.group()), "subscriptions");
        Map<String, Long> queues = new HashMap<>();
        info.getMqTable().forEach((queue, state) -> queues.merge(queue.getTopic(), state.getCommitOffset(), Long::sum));
        same(queues.get(at.topic()), 40L, "what it committed by its own count");
        check(info.getJstack().contains("ConsumeMessageThread"), "no stack in " + info.getJstack());
        same(info.getProperties().getProperty("PROP_CONSUME_TYPE"), "CONSUME_PASSIVELY", "consume type");

        Map<String, Map<MessageQueue, Long>> status = admin.getConsumeStatus(at.topic(), at.group(), "");
        same(status.keySet(), Set.of(at.client()), "members that told");
        same(status.get(at.client()).values().stream().mapToLong(Long::longValue).sum(), 40L, "where it stands");
        String refused = "";
        try {
            admin.getConsumerRunningInfo(at.group(), "nobody", false);
        } catch (MQClientException offline) {
            refused = offline.getMessage();
        }
        check(refused.contains("not online"), "an answer of nobody: " + refused);
        admin.shutdown();
    }

    /** The member gets one message once more, beside its queues. */
    private static void consumeDirectly() throws Exception {
        Scene at = Scene.of("directly");
        DefaultMQAdminExt admin = admin();
        SendResult sent = ok(producer().send(message(at.topic(), "once more")));
        at.inbox().await(41);
        var result = admin.consumeMessageDirectly(at.group(), at.client(), at.topic(), sent.getOffsetMsgId());
        same(result.getConsumeResult().name(), "CR_SUCCESS", "consume result");
        same(at.inbox().of("once more").size(), 2, "deliveries");
        admin.shutdown();
    }

    /** Back to the begin while the member is online: it gets all again without a restart, and stands at the end after. */
    private static void resetWhileConsuming() throws Exception {
        Scene at = Scene.of("reset");
        DefaultMQAdminExt admin = admin();
        Map<MessageQueue, Long> table = admin.resetOffsetByTimestamp(at.topic(), at.group(), 0, true);
        same(Set.copyOf(table.values()), Set.of(0L), "offsets of the reset");
        same(table.size(), 4, "queues of the reset");
        long start = System.nanoTime();
        at.inbox().await(80);
        Kit.note("all again " + (System.nanoTime() - start) / 1_000_000 + " ms after the reset");
        // The client pauses for ten seconds, and one that followed twice would get them once more ten seconds later.
        at.inbox().exactly(join(at.bodies(), at.bodies()), 15_000);
        Map<MessageQueue, Long> after = admin.getConsumeStatus(at.topic(), at.group(), at.client()).get(at.client());
        same(after.values().stream().mapToLong(Long::longValue).sum(), 40L, "where it stands");
        admin.shutdown();
    }

    private Talking() {
    }
}
