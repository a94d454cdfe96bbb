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
import static clients.Kit.prepareGroup;
import static clients.Kit.producer;
import static clients.Kit.push;
import static clients.Kit.same;
import static clients.Kit.send;
import static clients.Kit.span;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** Listeners that fail: code 36, retry levels, dead letters. */
final class Failing {
    private static final ConsumeConcurrentlyStatus LATER = ConsumeConcurrentlyStatus.RECONSUME_LATER;
    private static final ConsumeConcurrentlyStatus SUCCESS = ConsumeConcurrentlyStatus.CONSUME_SUCCESS;

    static void register() {
        Main.add("retry_to_dead_letter", Failing::retryToDeadLetter);
        Main.add("retry_chosen_level", Failing::retryChosenLevel);
        Main.add("retry_part_of_batch", Failing::retryPartOfBatch);
        Main.add("retry_by_send", Failing::retryBySend);
        Main.add("retry_delayed", Failing::retryDelayed);
    }

    /** A topic with one message in it, a group that has come behind that, and who sends more. */
    private record Scene(String topic, String group, DefaultMQProducer sender) {
        static Scene of(String name) throws Exception {
            Scene at = new Scene(fresh(name), fresh("g"), producer());
            send(at.sender, at.topic, List.of("first"));
            prepareGroup(at.group, at.topic);
            return at;
        }
    }

    /** Levels 3 and 4, counted, then {@code %DLQ%group}; topic, id, keys, tags and properties survive. */
    private static void retryToDeadLetter() throws Exception {
        Scene at = Scene.of("retry");
        Map<Integer, Long> failedAt = new ConcurrentHashMap<>();
        Kit.Inbox inbox = new Kit.Inbox();
        DefaultMQPushConsumer consumer = consumer(at.group());
        consumer.setMaxReconsumeTimes(2); // travels with each 36 and wins over the group's own limit
        push(consumer, at.topic(), "tag", inbox, (got, context) -> {
            failedAt.put(got.round(), System.currentTimeMillis());
            return LATER;
        });
        Message message = message(at.topic(), "tag", "k1 k2", "bad");
        message.putUserProperty("colour", "red");
        SendResult sent = ok(at.sender().send(message));
        inbox.await(3);

        // The group above never reads a dead letter; a group of its own does.
        Kit.Got dead = awaitDeadLetter(at.group()).get(0);
        same(map(inbox.all(), Kit.Got::round), List.of(0, 1, 2), "reconsume times");
        same(dead.round(), 3, "reconsume times of the dead letter");
        List<Long> late = new ArrayList<>();
        for (Kit.Got got : join(inbox.all(), List.of(dead))) {
            same(got.body(), "bad", "body");
            same(got.message().getMsgId(), sent.getMsgId(), "message id");
            same(got.message().getTags(), "tag", "tags");
            same(got.message().getKeys(), "k1 k2", "keys");
            same(got.property("colour"), "red", "property");
            same(got.message().getBornTimestamp(), inbox.all().get(0).message().getBornTimestamp(), "born time");
            if (got != dead) {
                same(got.message().getTopic(), at.topic(), "topic as the listener sees it");
            }
            if (got.round() > 0) {
                same(got.property("ORIGIN_MESSAGE_ID"), sent.getOffsetMsgId(), "origin message id");
            }
            if (got.round() == 1 || got.round() == 2) {
                late.add(Kit.notEarly(got, failedAt.get(got.round() - 1) + levelMs(2 + got.round())));
            }
        }
        same(dead.property("RETRY_TOPIC"), at.topic(), "RETRY_TOPIC of the dead letter");
        Kit.note("retries stored late by " + span(late) + " ms");
    }

    /** The dead-letter topic appears with the first dead letter; its reader starts after that. */
    private static List<Kit.Got> awaitDeadLetter(String group) throws Exception {
        DefaultMQProducer asks = producer();
        long end = System.nanoTime() + 30_000_000_000L;
        while (true) {
            try {
                asks.fetchPublishMessageQueues("%DLQ%" + group);
                break;
            } catch (Exception absent) {
                check(System.nanoTime() < end, "no route for %DLQ%" + group);
                Thread.sleep(200);
            }
        }
        return push(fresh("dlq"), "%DLQ%" + group, "*").await(1);
    }

    /** {@code delayLevelWhenNextConsume}: a level of the listener's choice, and -1 for the dead letters at once. */
    private static void retryChosenLevel() throws Exception {
        Scene at = Scene.of("chosen");
        Map<String, Long> failedAt = new ConcurrentHashMap<>();
        Kit.Inbox inbox = new Kit.Inbox();
        push(at.group(), at.topic(), "*", inbox, (got, context) -> {
            if (got.round() > 0) {
                return SUCCESS;
            }
            failedAt.put(got.body(), System.currentTimeMillis());
            context.setDelayLevelWhenNextConsume(got.body().equals("dead") ? -1 : 2);
            return LATER;
        });
        send(at.sender(), at.topic(), List.of("level 2", "dead"));
        inbox.await(3);
        same(inbox.of("level 2").size(), 2, "deliveries of the one at level 2");
        Kit.notEarly(inbox.of("level 2").get(1), failedAt.get("level 2") + levelMs(2));
        Kit.Got dead = awaitDeadLetter(at.group()).get(0);
        same(dead.body(), "dead", "dead letter");
        same(dead.round(), 1, "reconsume times of the dead letter");
        inbox.exactly(List.of("level 2", "level 2", "dead"), 1500);
    }

    /** Of one delivery of ten messages, those after {@code ackIndex} come again, and only those. */
    private static void retryPartOfBatch() throws Exception {
        Scene at = Scene.of("part");
        List<String> bodies = numbered("part", 10);
        ok(at.sender().send(new ArrayList<>(map(bodies, body -> message(at.topic(), body)))));
        Kit.Inbox inbox = new Kit.Inbox();
        List<String> failed = Collections.synchronizedList(new ArrayList<>());
        Map<String, Long> failedAt = new HashMap<>();
        DefaultMQPushConsumer consumer = consumer(at.group());
        consumer.setConsumeMessageBatchMaxSize(10);
        consumer.subscribe(at.topic(), "*");
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            messages.forEach(inbox::put);
            if (messages.get(0).getReconsumeTimes() == 0) {
                // A listener's list may be shorter than ten, so what fails is counted from its end.
                int ack = Math.max(messages.size() - 3, 0) - 1;
                context.setAckIndex(ack);
                messages.subList(ack + 1, messages.size()).forEach(one -> {
                    failed.add(new String(one.getBody()));
                    failedAt.put(new String(one.getBody()), System.currentTimeMillis());
                });
            }
            return SUCCESS;
        });
        consumer.start();
        inbox.each(bodies);
        Thread.sleep(500);
        List<String> expected = join(bodies, failed);
        check(!failed.isEmpty() && failed.size() < 10, failed.size() + " of 10 failed");
        inbox.exactly(expected, 2500);
        for (Kit.Got got : inbox.all()) {
            if (got.round() > 0) {
                check(failed.contains(got.body()), got.body() + " came again");
                Kit.notEarly(got, failedAt.get(got.body()) + levelMs(3));
            }
        }
        Kit.note(failed.size() + " of 10 failed");
    }

    /**
     * The client's own fallback when 36 fails: an ordinary send to {@code %RETRY%group} with a count and a limit in its
     * header. Delivered once under the original topic while the count is at most the limit, else a dead letter.
     */
    private static void retryBySend() throws Exception {
        Scene at = Scene.of("fallback");
        Kit.Inbox inbox = new Kit.Inbox();
        push(at.group(), at.topic(), "*", inbox, (got, context) -> SUCCESS);
        long sent = System.currentTimeMillis();
        for (int count : new int[] {2, 3}) {
            Message message = message("%RETRY%" + at.group(), "tag", "key", "count-" + count);
            MessageAccessor.putProperty(message, "RETRY_TOPIC", at.topic());
            MessageAccessor.setReconsumeTime(message, String.valueOf(count));
            MessageAccessor.setMaxReconsumeTimes(message, "2");
            MessageAccessor.setOriginMessageId(message, "7F0000010000000000000000000000FF");
            message.setDelayTimeLevel(3 + count - 1);
            ok(at.sender().send(message));
        }
        Kit.Got got = inbox.await(1).get(0);
        same(got.body(), "count-2", "body");
        same(got.round(), 2, "reconsume times");
        same(got.message().getTopic(), at.topic(), "topic");
        same(got.message().getKeys(), "key", "keys");
        same(got.property("ORIGIN_MESSAGE_ID"), "7F0000010000000000000000000000FF", "origin message id");
        Kit.notEarly(got, sent + levelMs(4));
        Kit.Got dead = awaitDeadLetter(at.group()).get(0);
        same(dead.body(), "count-3", "dead letter");
        inbox.exactly(List.of("count-2"), 2500);
    }

    /** A message that was delayed itself and then fails: its old level must not return with the retry. */
    private static void retryDelayed() throws Exception {
        Scene at = Scene.of("delayed");
        Map<Integer, Long> failedAt = new ConcurrentHashMap<>();
        Kit.Inbox inbox = new Kit.Inbox();
        push(at.group(), at.topic(), "*", inbox, (got, context) -> {
            failedAt.put(got.round(), System.currentTimeMillis());
            return got.round() == 0 ? LATER : SUCCESS;
        });
        Message message = message(at.topic(), "delayed");
        message.setDelayTimeLevel(4);
        ok(at.sender().send(message));
        inbox.exactly(List.of("delayed", "delayed"), 2500);
        Kit.notEarly(inbox.all().get(0), inbox.all().get(0).message().getBornTimestamp() + levelMs(4));
        Kit.notEarly(inbox.all().get(1), failedAt.get(0) + levelMs(3));
    }

    private Failing() {
    }
}
