package clients;

import static clients.Kit.check;
import static clients.Kit.fresh;
import static clients.Kit.join;
import static clients.Kit.map;
import static clients.Kit.message;
import static clients.Kit.numbered;
import static clients.Kit.ok;
import static clients.Kit.producer;
import static clients.Kit.push;
import static clients.Kit.same;
import static clients.Kit.send;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Ways to send. */
final class Producing {
    static void register() {
        Main.add("send_sync", Producing::sendSync);
        Main.add("send_async_1000", Producing::sendAsync);
        Main.add("send_oneway", Producing::sendOneway);
        Main.add("send_batch", Producing::sendBatch);
        Main.add("send_chosen_queue", Producing::sendChosenQueue);
        Main.add("keys_and_properties", Producing::keysAndProperties);
        Main.add("body_20_kib", () -> body(20 * 1024));
        Main.add("body_3_mib", () -> body(3 * 1024 * 1024));
        Main.add("create_topic", Producing::createTopic);
        Main.add("refused_sends", Producing::refusedSends);
    }

    /** The answer's queue and offset are where the message is read. */
    private static void sendSync() throws Exception {
        String topic = fresh("sync");
        DefaultMQProducer sender = producer();
        List<String> bodies = numbered("sync", 50);
        Set<String> places = new HashSet<>();
        Set<String> ids = new HashSet<>();
        for (String body : bodies) {
            SendResult result = ok(sender.send(message(topic, body)));
            places.add(body + "@" + result.getMessageQueue().getQueueId() + ":" + result.getQueueOffset());
            ids.add(result.getMsgId());
            check(result.getOffsetMsgId().matches("[0-9A-F]{32}"), "offset message id " + result.getOffsetMsgId());
        }
        same(ids.size(), bodies.size(), "distinct message ids");
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        inbox.exactly(bodies, 500);
        same(new HashSet<>(map(inbox.all(), got ->
            got.body() + "@" + got.message().getQueueId() + ":" + got.message().getQueueOffset())), places, "places");
        same(new HashSet<>(map(inbox.all(), got -> got.message().getMsgId())), ids, "message ids");
    }

    private static void sendAsync() throws Exception {
        String topic = fresh("async");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first")); // the route is known before the burst
        List<String> bodies = numbered("async", 1000);
        CountDownLatch left = new CountDownLatch(bodies.size());
        AtomicReference<Throwable> failure = new AtomicReference<>();
        for (String body : bodies) {
            sender.send(message(topic, body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    left.countDown();
                }

                @Override
                public void onException(Throwable error) {
                    failure.set(error);
                    left.countDown();
                }
            }, 30_000);
        }
        check(left.await(30, TimeUnit.SECONDS), left.getCount() + " callbacks missing");
        check(failure.get() == null, "a send failed: " + failure.get());
        push(fresh("g"), topic, "*").exactly(join(List.of("first"), bodies), 500);
    }

    private static void sendOneway() throws Exception {
        String topic = fresh("oneway");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        List<String> bodies = numbered("oneway", 50);
        for (String body : bodies) {
            sender.sendOneway(message(topic, body));
        }
        push(fresh("g"), topic, "*").exactly(join(List.of("first"), bodies), 500);
    }

    /** Code 320: one queue, consecutive offsets, each message with its own keys, tags and id. */
    private static void sendBatch() throws Exception {
        String topic = fresh("batch");
        DefaultMQProducer sender = producer();
        List<String> bodies = numbered("batch", 50);
        SendResult result = ok(sender.send(new ArrayList<>(map(bodies, body -> message(topic, "t", body, body)))));
        same(result.getMsgId().split(",").length, bodies.size(), "message ids in the answer");
        Kit.Inbox inbox = push(fresh("g"), topic, "t");
        inbox.exactly(bodies, 500);
        for (Kit.Got got : inbox.all()) {
            int number = bodies.indexOf(got.body());
            same(got.message().getQueueId(), result.getMessageQueue().getQueueId(), "queue of " + got.body());
            same(got.message().getQueueOffset(), result.getQueueOffset() + number, "offset of " + got.body());
            same(got.message().getKeys(), got.body(), "keys");
            same(got.message().getTags(), "t", "tags");
        }
        same(new HashSet<>(map(inbox.all(), got -> got.message().getMsgId())).size(), bodies.size(), "distinct ids");
    }

    private static void sendChosenQueue() throws Exception {
        String topic = fresh("chosen");
        DefaultMQProducer sender = producer();
        send(sender, topic, List.of("first"));
        for (int number = 0; number < 40; number++) {
            int wanted = number % 3;
            SendResult result = ok(sender.send(message(topic, "q" + wanted + "-" + number),
                (queues, message, key) -> queues.stream().filter(q -> q.getQueueId() == (int) key).findFirst().orElseThrow(),
                wanted));
            same(result.getMessageQueue().getQueueId(), wanted, "queue in the answer");
        }
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        for (Kit.Got got : inbox.await(41)) {
            check(got.body().equals("first") || got.body().startsWith("q" + got.message().getQueueId() + "-"),
                got.body() + " in queue " + got.message().getQueueId());
        }
    }

    private static void keysAndProperties() throws Exception {
        String topic = fresh("properties");
        DefaultMQProducer sender = producer();
        Message message = message(topic, "tag", "k1 k2", "body");
        message.setFlag(7);
        Map<String, String> properties = Map.of("colour", "red", "umlaut", "äöü 漢字", "with blank", "a b  c");
        properties.forEach(message::putUserProperty);
        SendResult result = ok(sender.send(message));
        Kit.Got got = push(fresh("g"), topic, "*").await(1).get(0);
        same(got.message().getTopic(), topic, "topic");
        same(got.message().getTags(), "tag", "tags");
        same(got.message().getKeys(), "k1 k2", "keys");
        same(got.message().getFlag(), 7, "flag");
        same(got.message().getMsgId(), result.getMsgId(), "message id");
        same(got.round(), 0, "reconsume times");
        for (Map.Entry<String, String> one : properties.entrySet()) {
            same(got.property(one.getKey()), one.getValue(), one.getKey());
        }
    }

    private static void body(int size) throws Exception {
        String topic = fresh("size");
        DefaultMQProducer sender = producer();
        byte[] random = new byte[size]; // does not compress; the second one does
        new Random(size).nextBytes(random);
        byte[] zeros = new byte[size];
        ok(sender.send(new Message(topic, "random", random)));
        ok(sender.send(new Message(topic, "zeros", zeros)));
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        for (Kit.Got got : inbox.await(2)) {
            byte[] expected = got.message().getTags().equals("random") ? random : zeros;
            check(java.util.Arrays.equals(got.message().getBody(), expected), got.message().getTags() + " differs");
        }
    }

    /** Code 17, through the client's own admin call. Its signature differs between 4.x and 5.x. */
    private static void createTopic() throws Exception {
        String topic = fresh("created");
        DefaultMQProducer sender = producer();
        try {
            Method method = DefaultMQProducer.class.getMethod(
                "createTopic", String.class, String.class, int.class, Map.class);
            method.invoke(sender, "TBW102", topic, 7, null);
        } catch (NoSuchMethodException old) {
            DefaultMQProducer.class.getMethod("createTopic", String.class, String.class, int.class)
                .invoke(sender, "TBW102", topic, 7);
        }
        List<MessageQueue> queues = sender.fetchPublishMessageQueues(topic);
        same(queues.size(), 7, "queues");
        for (MessageQueue queue : queues) {
            ok(sender.send(message(topic, "q" + queue.getQueueId()), queue));
        }
        Kit.Inbox inbox = push(fresh("g"), topic, "*");
        for (Kit.Got got : inbox.await(7)) {
            same(got.body(), "q" + got.message().getQueueId(), "body of a queue");
        }
    }

    /** A system topic is refused with 16. */
    private static void refusedSends() throws Exception {
        DefaultMQProducer sender = producer();
        send(sender, fresh("allowed"), List.of("first"));
        MessageQueue queue = sender.fetchPublishMessageQueues("TBW102").get(0);
        queue.setTopic("SCHEDULE_TOPIC_XXXX");
        try {
            sender.send(message("SCHEDULE_TOPIC_XXXX", "never"), queue);
        } catch (MQBrokerException refused) {
            same(refused.getResponseCode(), 16, "response code");
            return;
        } catch (Exception refusedByTheClient) {
            check(String.valueOf(refusedByTheClient.getMessage()).contains("forbidden"), "refused with " + refusedByTheClient);
            Kit.note("this client refuses by itself");
            return;
        }
        check(false, "SCHEDULE_TOPIC_XXXX took a message");
    }

    private Producing() {
    }
}
