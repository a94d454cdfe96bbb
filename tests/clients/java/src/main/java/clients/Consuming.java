package clients;

import static clients.Kit.check;
import static clients.Kit.consumer;
import static clients.Kit.fresh;
import static clients.Kit.join;
import static clients.Kit.levelMs;
import static clients.Kit.map;
import static clients.Kit.message;
import static clients.Kit.numbered;
import static clients.Kit.ok;
import static clients.Kit.producer;
import static clients.Kit.push;
import static clients.Kit.same;
import static clients.Kit.send;
import static clients.Kit.span;
import static clients.Kit.succeed;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Reading, sharing, delays and offsets. */
final class Consuming {
    static void register() {
        Main.add("push_exactly_once", Consuming::pushExactlyOnce);
        Main.add("push_while_sending", Consuming::pushWhileSending);
        Main.add("push_orderly", Consuming::pushOrderly);
        Main.add("tag_filter", Consuming::tagFilter);
        Main.add("rebalance", Consuming::rebalance);
        Main.add("delay_levels", Consuming::delayLevels);
        Main.add("delay_level_clamped", Consuming::delayLevelClamped);
        Main.add("timed_at", Consuming::timedAt);
        Main.add("timed_in", Consuming::timedIn);
        Main.add("timed_past", Consuming::timedPast);
        if (recallMethod() != null) {
            Main.add("recall", Consuming::recall);
        }
        Main.add("offsets_continue", Consuming::offsetsContinue);
        Main.add("offset_queries", Consuming::offsetQueries);
        Main.add("pull", Consuming::pull);
    }

    private static void pushExactlyOnce() throws Exception {
        String topic = fresh("push");
        List<String> bodies = numbered("push", 1000);
        send(producer(), topic, bodies);
        push(fresh("g"), topic, "*").exactly(bodies, 1000);
    }

    /** Long polls: a message sent while the consumer waits arrives at once. */
    private static void pushWhileSending() throws Exception {
        String topic = fresh("live");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        inbox.await(1);
        Thread.sleep(3000); // all queues have a pull waiting
        List<String> bodies = numbered("live", 20);
        long slowest = 0;
        for (int number = 0; number < bodies.size(); number++) {
            send(sender, topic, List.of(bodies.get(number)));
            Kit.Got got = inbox.await(number + 2, 10).get(number + 1);
            slowest = Math.max(slowest, got.at() - got.message().getStoreTimestamp());
        }
        inbox.exactly(join(List.of("first"), bodies), 500);
        check(slowest < 2000, "the slowest came " + slowest + " ms after it was stored");
    }

    /** Locks 41 and 42, order within a queue, and a queue that is suspended for a moment. */
    private static void pushOrderly() throws Exception {
        String topic = fresh("orderly");
        DefaultMQProducer sender = producer();
        List<String> bodies = new ArrayList<>();
        for (int number = 0; number < 60; number++) {
            int key = number % 4;
            bodies.add(key + ":" + number);
            ok(sender.send(message(topic, key + ":" + number),
                (queues, message, arg) -> queues.get((int) arg % queues.size()), key));
        }
        DefaultMQPushConsumer consumer = consumer(fresh("g"));
        consumer.subscribe(topic, "*");
        Kit.Inbox inbox = new Kit.Inbox();
        Set<String> suspended = new HashSet<>();
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeOrderlyContext context) -> {
            String body = new String(messages.get(0).getBody());
            if (body.equals("2:6") && suspended.add(body)) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            messages.forEach(inbox::put);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        inbox.exactly(bodies, 500);
        for (int key = 0; key < 4; key++) {
            String prefix = key + ":";
            same(inbox.bodies().stream().filter(body -> body.startsWith(prefix)).toList(),
                bodies.stream().filter(body -> body.startsWith(prefix)).toList(), "order of key " + key);
        }
        consumer.shutdown();
    }

    private static void tagFilter() throws Exception {
        String topic = fresh("tags");
        DefaultMQProducer sender = producer();
        List<String> wanted = new ArrayList<>();
        for (int number = 0; number < 60; number++) {
            String tag = List.of("a", "b", "c").get(number % 3);
            ok(sender.send(message(topic, tag, "", tag + "-" + number)));
            if (!tag.equals("c")) {
                wanted.add(tag + "-" + number);
            }
        }
        // "Aa" and "BB" have the same hash code: only the client's own check tells them apart.
        ok(sender.send(message(topic, "BB", "", "same hash")));
        ok(sender.send(message(topic, "Aa", "", "Aa")));
        wanted.add("Aa");
        ok(sender.send(message(topic, "untagged")));
        push(fresh("g"), topic, "a || b || Aa").exactly(wanted, 1000);
    }

    /** Two of one group share the queues; after one leaves the other gets the rest, long before the 20 s timer. */
    private static void rebalance() throws Exception {
        String topic = fresh("rebalance");
        String group = fresh("g");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        Kit.Inbox one = new Kit.Inbox();
        Kit.Inbox two = new Kit.Inbox();
        push(group, topic, "*", one, succeed());
        one.await(1);
        Thread.sleep(1500); // its offsets are committed
        DefaultMQPushConsumer second = push(group, topic, "*", two, succeed());
        sharesBecome(sender, topic, one, two, List.of(8L, 8L), "after the second came");
        Thread.sleep(1500);
        second.shutdown();
        sharesBecome(sender, topic, one, two, List.of(16L, 0L), "after the second left");
        int repeats = one.all().size() + two.all().size() - new HashSet<>(join(one.bodies(), two.bodies())).size();
        Kit.note(repeats + " deliveries were repeats");
    }

    /** Sends rounds of 16 over 4 queues until the two consumers' shares are as expected. */
    private static void sharesBecome(
            DefaultMQProducer sender, String topic, Kit.Inbox one, Kit.Inbox two, List<Long> expected, String what)
            throws Exception {
        long end = System.nanoTime() + 12_000_000_000L;
        while (true) {
            List<String> round = numbered(fresh("round"), 16);
            for (int number = 0; number < 16; number++) {
                ok(sender.send(message(topic, round.get(number)),
                    (queues, message, arg) -> queues.get((int) arg % queues.size()), number));
            }
            long start = System.nanoTime();
            while (!new HashSet<>(join(one.bodies(), two.bodies())).containsAll(round)) {
                check(System.nanoTime() < start + 40_000_000_000L, "a round is not complete " + what);
                Thread.sleep(20);
            }
            List<Long> shares = map(List.of(one, two), inbox ->
                inbox.bodies().stream().filter(round::contains).distinct().count());
            if (shares.equals(expected)) {
                Kit.note("shares " + what + " after " + (System.nanoTime() + 12_000_000_000L - end) / 1_000_000 + " ms");
                return;
            }
            check(System.nanoTime() < end, "shares " + what + ": " + shares + ", expected " + expected);
            Thread.sleep(500);
        }
    }

    // ---- later ------------------------------------------------------------------------------------------------

    /** Not early, in the chosen queue, with keys and tag, and a tag filter still selects. */
    private static void delayLevels() throws Exception {
        String topic = fresh("delay");
        DefaultMQProducer sender = producer();
        ok(sender.send(message(topic, "tag", "", "first")));
        Kit.Inbox inbox = push(fresh("g"), topic, "tag");
        inbox.await(1);
        List<String> bodies = new ArrayList<>(List.of("first"));
        Map<String, Integer> levels = new HashMap<>();
        for (int level : new int[] {1, 2, 4, 5, 17}) {
            for (String tag : List.of("tag", "other")) {
                Message message = message(topic, tag, "key-" + level, tag + "-" + level);
                message.setDelayTimeLevel(level);
                message.putUserProperty("colour", "red");
                ok(sender.send(message, (queues, sent, arg) ->
                    queues.stream().filter(queue -> queue.getQueueId() == 2).findFirst().orElseThrow(), null));
            }
            bodies.add("tag-" + level);
            levels.put("tag-" + level, level);
        }
        inbox.exactly(bodies, 1000);
        List<Long> late = new ArrayList<>();
        for (Kit.Got got : inbox.all().subList(1, bodies.size())) {
            int level = levels.get(got.body());
            late.add(Kit.notEarly(got, got.message().getBornTimestamp() + levelMs(level)));
            same(got.message().getTopic(), topic, "topic");
            same(got.message().getQueueId(), 2, "queue");
            same(got.message().getKeys(), "key-" + level, "keys");
            same(got.property("colour"), "red", "property");
        }
        Kit.note("stored late by " + span(late) + " ms");
    }

    /** A level above the table is the last one. */
    private static void delayLevelClamped() throws Exception {
        String topic = fresh("clamp");
        DefaultMQProducer sender = producer();
        Message message = message(topic, "clamped");
        message.setDelayTimeLevel(25);
        ok(sender.send(message));
        Kit.Got got = push(fresh("g"), topic, "*").await(1).get(0);
        long late = Kit.notEarly(got, got.message().getBornTimestamp() + levelMs(18));
        check(late < 10_000, "stored " + late + " ms after the last level's time");
    }

    /** TIMER_DELIVER_MS: an absolute time. 4.9.8 has no method for it and sends the property. */
    private static void timedAt() throws Exception {
        timed("setDeliverTimeMs", "TIMER_DELIVER_MS", true);
    }

    /** TIMER_DELAY_MS: a time from now. */
    private static void timedIn() throws Exception {
        timed("setDelayTimeMs", "TIMER_DELAY_MS", false);
    }

    static void setTime(Message message, String method, String property, long value) throws Exception {
        try {
            Method setter = Message.class.getMethod(method, long.class);
            setter.invoke(message, value);
        } catch (NoSuchMethodException old) {
            message.putUserProperty(property, String.valueOf(value));
        }
    }

    private static void timed(String method, String property, boolean absolute) throws Exception {
        String topic = fresh("timed");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        inbox.await(1);
        Map<String, Long> due = new HashMap<>();
        for (int number = 0; number < 20; number++) {
            long delay = 1500 + 137 * number;
            String body = "timed-" + number;
            Message message = message(topic, "tag", "key", body);
            long now = System.currentTimeMillis();
            setTime(message, method, property, absolute ? now + delay : delay);
            ok(sender.send(message));
            due.put(body, now + delay);
        }
        inbox.exactly(join(List.of("first"), due.keySet()), 1500);
        List<Long> late = new ArrayList<>();
        List<Long> arrived = new ArrayList<>();
        for (Kit.Got got : inbox.all().subList(1, 21)) {
            late.add(Kit.notEarly(got, due.get(got.body())));
            arrived.add(got.at() - due.get(got.body()));
            same(got.message().getTopic(), topic, "topic");
            same(got.message().getKeys(), "key", "keys");
            same(got.message().getTags(), "tag", "tags");
        }
        Kit.note("stored late by " + span(late) + " ms, arrived late by " + span(arrived) + " ms");
    }

    private static void timedPast() throws Exception {
        String topic = fresh("past");
        DefaultMQProducer sender = producer();
        Message message = message(topic, "past");
        setTime(message, "setDeliverTimeMs", "TIMER_DELIVER_MS", System.currentTimeMillis() - 60_000);
        long sent = System.currentTimeMillis();
        ok(sender.send(message));
        Kit.Got got = push(fresh("g"), topic, "*").await(1).get(0);
        long took = got.message().getStoreTimestamp() - sent;
        check(took < 2000, "a time in the past was stored after " + took + " ms");
    }

    /** Since 5.3.1 a producer can take a timed message back. */
    private static Method recallMethod() {
        try {
            return DefaultMQProducer.class.getMethod("recallMessage", String.class, String.class);
        } catch (NoSuchMethodException old) {
            return null;
        }
    }

    /** What was taken back is not delivered, the others are; what was delivered cannot be taken back. */
    private static void recall() throws Exception {
        String topic = fresh("recall");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        inbox.await(1);
        Method handleOf = SendResult.class.getMethod("getRecallHandle");
        List<String> handles = new ArrayList<>();
        List<String> ids = new ArrayList<>();
        for (int number = 0; number < 10; number++) {
            Message message = message(topic, "tag", "key", "timed-" + number);
            setTime(message, "setDelayTimeMs", "TIMER_DELAY_MS", number < 9 ? 8000 : 500);
            SendResult sent = ok(sender.send(message));
            handles.add((String) handleOf.invoke(sent));
            ids.add(sent.getMsgId());
        }
        List<String> expected = new ArrayList<>(List.of("first", "timed-9"));
        for (int number = 0; number < 9; number++) {
            if (number % 2 == 0) {
                Object id = recallMethod().invoke(sender, topic, handles.get(number));
                check(ids.get(number).equals(id), "recalled " + id + " for " + ids.get(number));
            } else {
                expected.add("timed-" + number);
            }
        }
        inbox.await(2);
        try {
            recallMethod().invoke(sender, topic, handles.get(9));
            throw new AssertionError("a delivered message was taken back");
        } catch (java.lang.reflect.InvocationTargetException refused) {
            check(refused.getCause().getMessage().contains("delivered already"), "" + refused.getCause());
        }
        inbox.exactly(expected, 3000);
    }

    // ---- offsets ----------------------------------------------------------------------------------------------

    private static void offsetsContinue() throws Exception {
        String topic = fresh("offsets");
        String group = fresh("g");
        DefaultMQProducer sender = producer();
        List<String> before = numbered("before", 100);
        List<String> after = numbered("after", 100);
        send(sender, topic, before);
        Kit.Inbox first = new Kit.Inbox();
        DefaultMQPushConsumer consumer = push(group, topic, "*", first, succeed());
        first.exactly(before, 500);
        consumer.shutdown();
        send(sender, topic, after);
        push(group, topic, "*").exactly(after, 2000);
    }

    private static void offsetQueries() throws Exception {
        String topic = fresh("queries");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        MessageQueue queue = sender.fetchPublishMessageQueues(topic).stream()
            .filter(one -> one.getQueueId() == 1).findFirst().orElseThrow();
        long base = sender.maxOffset(queue);
        for (int number = 0; number < 10; number++) {
            SendResult result = ok(sender.send(message(topic, "q-" + number), queue));
            same(result.getQueueOffset(), base + number, "offset in the answer");
        }
        same(sender.minOffset(queue), 0L, "min");
        same(sender.maxOffset(queue), base + 10, "max");

        Thread.sleep(50);
        long between = System.currentTimeMillis();
        Thread.sleep(50);
        for (int number = 10; number < 15; number++) {
            ok(sender.send(message(topic, "q-" + number), queue));
        }
        same(sender.searchOffset(queue, between), base + 10, "first offset at or after a time between");
        same(sender.searchOffset(queue, 0), 0L, "first offset of all time");
        same(sender.searchOffset(queue, between + 3_600_000), base + 15, "offset for a time after the last");
        check(sender.earliestMsgStoreTime(queue) <= between, "earliest store time");
    }

    @SuppressWarnings("deprecation")
    private static void pull() throws Exception {
        String topic = fresh("pull");
        DefaultMQProducer sender = producer();
        List<String> bodies = numbered("pull", 100);
        send(sender, topic, bodies);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(fresh("g"));
        consumer.setNamesrvAddr(Kit.NAMESRV);
        consumer.setInstanceName(fresh("instance"));
        consumer.start();
        List<String> got = new ArrayList<>();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            long offset = 0;
            while (true) {
                PullResult result = consumer.pull(queue, "*", offset, 32);
                if (result.getPullStatus() != PullStatus.FOUND) {
                    same(result.getPullStatus(), PullStatus.NO_NEW_MSG, "status at the end");
                    same(result.getMaxOffset(), offset, "max offset at the end");
                    break;
                }
                for (MessageExt message : result.getMsgFoundList()) {
                    same(message.getQueueOffset(), offset++, "offset");
                    got.add(new String(message.getBody()));
                }
                same(result.getNextBeginOffset(), offset, "next offset");
            }
            same(consumer.pull(queue, "*", offset + 100, 32).getPullStatus(), PullStatus.OFFSET_ILLEGAL, "far beyond");
            consumer.updateConsumeOffset(queue, offset);
            same(consumer.fetchConsumeOffset(queue, false), offset, "consume offset");
        }
        same(got.stream().sorted().toList(), bodies.stream().sorted().toList(), "bodies");
        consumer.shutdown();
    }

    private Consuming() {
    }
}
