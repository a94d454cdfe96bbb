package clients;

import static clients.Kit.check;
import static clients.Kit.consumer;
import static clients.Kit.fresh;
import static clients.Kit.map;
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
import java.util.Arrays;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Messages by key and id, by an SQL92 expression, by time; and bodies that are compressed. */
final class Finding {
    static void register() {
        Main.add("query_key", Finding::queryKey);
        Main.add("view_message", Finding::viewMessage);
        Main.add("sql_filter", Finding::sqlFilter);
        Main.add("sql_refused", Finding::sqlRefused);
        Main.add("lite_pull_assign", Finding::litePullAssign);
        Main.add("lite_pull_subscribe", Finding::litePullSubscribe);
        Main.add("compressed_zlib", () -> compressed("ZLIB", 0x300));
        Main.add("compressed_lz4", () -> compressed("LZ4", 0x100));
        Main.add("compressed_zstd", () -> compressed("ZSTD", 0x200));
    }

    private static List<String> bodies(List<MessageExt> messages) {
        return map(messages, one -> new String(one.getBody(), StandardCharsets.UTF_8));
    }

    /** Newest first, at most as many as asked for, within times; what is not there is an exception. */
    private static void queryKey() throws Exception {
        String topic = fresh("keys");
        DefaultMQProducer sender = producer();
        List<String> expected = new ArrayList<>();
        long start = System.currentTimeMillis();
        for (int number = 0; number < 20; number++) {
            ok(sender.send(message(topic, "", "same other" + number, "key-" + number)));
            expected.add(0, "key-" + number);
        }
        send(sender, fresh("elsewhere"), List.of("no key"));
        long from = start - 60_000;
        long to = start + 600_000;
        same(bodies(sender.queryMessage(topic, "same", 64, from, to).getMessageList()), expected, "all of a key");
        same(bodies(sender.queryMessage(topic, "same", 5, from, to).getMessageList()), expected.subList(0, 5), "five");
        same(bodies(sender.queryMessage(topic, "other7", 32, from, to).getMessageList()), List.of("key-7"), "one");
        check(sender.queryMessage(topic, "same", 1, from, to).getIndexLastUpdateTimestamp() >= start, "index time");
        missing(() -> sender.queryMessage(topic, "nobody", 32, from, to));
        missing(() -> sender.queryMessage(topic, "same", 32, from, start - 30_000));
        sender.shutdown();
    }

    private static void missing(Main.Case query) throws Exception {
        try {
            query.run();
        } catch (MQClientException error) {
            return;
        }
        check(false, "something was found");
    }

    /** By the id that names a log position, by the producer's own id; a forged position is refused. */
    private static void viewMessage() throws Exception {
        String topic = fresh("view");
        DefaultMQProducer sender = producer();
        List<SendResult> sent = new ArrayList<>();
        for (String body : numbered("view", 5)) {
            sent.add(ok(sender.send(message(topic, "tag", "k", body))));
        }
        for (int number = 0; number < 5; number++) {
            SendResult one = sent.get(number);
            MessageExt by = sender.viewMessage(topic, one.getOffsetMsgId());
            same(new String(by.getBody()), "view-" + number, "by offset id");
            same(by.getQueueOffset(), one.getQueueOffset(), "queue offset");
            same(by.getKeys(), "k", "keys");
            MessageExt unique = sender.viewMessage(topic, one.getMsgId());
            same(new String(unique.getBody()), "view-" + number, "by unique id");
        }
        String id = sent.get(0).getOffsetMsgId();
        String forged = id.substring(0, 16) + String.format("%016X", Long.parseLong(id.substring(16), 16) + 1);
        try {
            MessageExt found = sender.viewMessage(topic, forged);
            check(found == null, "a forged id found " + found);
        } catch (MQClientException | MQBrokerException refused) {
            check(true, "");
        }
        // A timed message has an id while it waits.
        Message later = message(topic, "in an hour");
        later.putUserProperty("who", "timer");
        later.setDelayTimeLevel(18);
        SendResult timed = ok(sender.send(later));
        same(new String(sender.viewMessage(topic, timed.getOffsetMsgId()).getBody()), "in an hour", "a pending timer");
        sender.shutdown();
    }

    /** What the expression does not select never comes: the client does not look again. */
    private static void sqlFilter() throws Exception {
        String topic = fresh("sql");
        DefaultMQProducer sender = producer();
        List<String> wanted = new ArrayList<>();
        for (int number = 0; number < 60; number++) {
            Message one = message(topic, "tag" + number % 3, "", "sql-" + number);
            one.putUserProperty("n", String.valueOf(number));
            one.putUserProperty("name", number % 2 == 0 ? "it's even" : "odd");
            ok(sender.send(one));
            boolean selected = number > 20 && number % 2 == 0 && number % 3 != 1;
            if (selected && number != 30) {
                wanted.add("sql-" + number);
            }
        }
        send(sender, topic, List.of("no properties"));
        DefaultMQPushConsumer consumer = consumer(fresh("g"));
        consumer.subscribe(topic, MessageSelector.bySql(
            "n > 20 AND name = 'it''s even' AND TAGS IN ('tag0', 'tag2') AND (n NOT BETWEEN 30 AND 30.5) AND none IS NULL"));
        Kit.Inbox inbox = new Kit.Inbox();
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            messages.forEach(inbox::put);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        inbox.exactly(wanted, 2000);
        // While it waits: what is not selected does not end the wait, what is does.
        for (int number = 100; number < 110; number++) {
            Message one = message(topic, "tag0", "", "sql-" + number);
            one.putUserProperty("n", String.valueOf(number));
            one.putUserProperty("name", number == 105 ? "it's even" : "odd");
            ok(sender.send(one));
        }
        wanted.add("sql-105");
        inbox.exactly(wanted, 2000);
        consumer.shutdown();
        sender.shutdown();
    }

    private static void sqlRefused() throws Exception {
        String topic = fresh("badsql");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("x"));
        DefaultMQPushConsumer consumer = consumer(fresh("g"));
        consumer.subscribe(topic, MessageSelector.bySql("n > > 5"));
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) ->
            ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        try {
            consumer.start();
        } catch (MQClientException refused) {
            check(refused.getMessage().contains("position 4"), "the text does not say where: " + refused.getMessage());
            return;
        }
        check(false, "a consumer with a bad expression started");
    }

    private static DefaultLitePullConsumer lite() {
        DefaultLitePullConsumer made = new DefaultLitePullConsumer(fresh("g"));
        made.setNamesrvAddr(Kit.NAMESRV);
        made.setInstanceName(fresh("instance"));
        made.setAutoCommit(false);
        return made;
    }

    private static List<String> poll(DefaultLitePullConsumer consumer, int count) {
        List<String> got = new ArrayList<>();
        long end = System.nanoTime() + 40_000_000_000L;
        while (got.size() < count && System.nanoTime() < end) {
            got.addAll(bodies(consumer.poll(1000)));
        }
        got.addAll(bodies(consumer.poll(500)));
        return got;
    }

    /** Queues assigned by hand, a place found by time, and a commit that a successor finds. */
    private static void litePullAssign() throws Exception {
        String topic = fresh("assign");
        DefaultMQProducer sender = producer();
        MessageQueue place = empty(sender, topic);
        for (String body : numbered("early", 10)) {
            ok(sender.send(message(topic, body), place));
        }
        Thread.sleep(50);
        long between = System.currentTimeMillis();
        Thread.sleep(50);
        List<String> late = numbered("late", 5);
        for (String body : late) {
            ok(sender.send(message(topic, body), place));
        }
        DefaultLitePullConsumer consumer = lite();
        consumer.start();
        MessageQueue queue = consumer.fetchMessageQueues(topic).stream()
            .filter(one -> one.getQueueId() == place.getQueueId()).findFirst().orElseThrow();
        consumer.assign(List.of(queue));
        // Only then does it rest: what an earlier pull brings may pass a seek by, in the client itself.
        same(poll(consumer, 15).size(), 15, "as assigned");
        long offset = consumer.offsetForTimestamp(queue, between);
        consumer.seek(queue, offset);
        same(poll(consumer, late.size()), late, "from a time on");
        consumer.seekToBegin(queue);
        same(poll(consumer, 15).size(), 15, "from the begin");
        consumer.commitSync();
        Thread.sleep(500);
        same(consumer.committed(queue), offset + late.size(), "committed");
        consumer.shutdown();
        sender.shutdown();
    }

    /** A queue with nothing in it; a first send creates the topic, and goes to any of its queues. */
    private static MessageQueue empty(DefaultMQProducer sender, String topic) throws Exception {
        int taken = ok(sender.send(message(topic, "creates"))).getMessageQueue().getQueueId();
        return sender.fetchPublishMessageQueues(topic).stream()
            .filter(one -> one.getQueueId() != taken).findFirst().orElseThrow();
    }

    private static void litePullSubscribe() throws Exception {
        String topic = fresh("lite");
        DefaultMQProducer sender = producer();
        List<String> wanted = new ArrayList<>();
        for (int number = 0; number < 30; number++) {
            Message one = message(topic, "", "", "lite-" + number);
            one.putUserProperty("n", String.valueOf(number));
            ok(sender.send(one));
            if (number >= 10) {
                wanted.add("lite-" + number);
            }
        }
        DefaultLitePullConsumer consumer = lite();
        consumer.setConsumeFromWhere(org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, MessageSelector.bySql("n >= 10"));
        consumer.start();
        same(poll(consumer, wanted.size()).stream().sorted().toList(), wanted.stream().sorted().toList(), "selected");
        consumer.shutdown();
        sender.shutdown();
    }

    /** 100 KiB that shrink, sent as the codec packs them, come out as they went in. */
    private static void compressed(String type, int bits) throws Exception {
        String topic = fresh("compressed");
        byte[] body = new byte[100 << 10];
        for (int at = 0; at < body.length; at++) {
            body[at] = (byte) ('a' + at / 7 % 26);
        }
        DefaultMQProducer sender;
        synchronized (Finding.class) {
            System.setProperty("rocketmq.message.compressType", type);
            sender = producer();
            System.clearProperty("rocketmq.message.compressType");
        }
        ok(sender.send(new Message(topic, body)));
        Kit.Inbox inbox = new Kit.Inbox();
        push(fresh("g"), topic, "*", inbox, succeed());
        MessageExt got = inbox.await(1).get(0).message();
        check(Arrays.equals(got.getBody(), body), "the body is another one");
        // Java 5 takes the bit away that says that it is compressed, once it is not any more.
        same(got.getSysFlag() & 0x700, bits, "how it was compressed");
        check(got.getStoreSize() < body.length / 2, "stored in " + got.getStoreSize() + " bytes");
        sender.shutdown();
    }

    private Finding() {
    }
}
