package clients;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What the cases share: names, clients with short intervals, an inbox, checks. */
final class Kit {
    static final String NAMESRV = System.getenv("CLIENTS_NAMESRV");
    /** How much too early a message may be stored. Zero, except to try the tests on a broker with coarser timers. */
    static final long EARLY_MS = Long.parseLong(System.getenv().getOrDefault("CLIENTS_EARLY_MS", "0"));
    static final ThreadLocal<String> caseName = ThreadLocal.withInitial(() -> "-");
    private static final String RUN = ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    private static final AtomicInteger NAMES = new AtomicInteger();

    // ---- names and times --------------------------------------------------------------------------------------

    /** A name that no other case and no earlier run uses. */
    static String fresh(String prefix) {
        return prefix + "-" + RUN + "-" + NAMES.incrementAndGet();
    }

    static long levelMs(int level) {
        String[] levels = System.getenv("CLIENTS_LEVELS").split(" ");
        String text = levels[Math.min(level, levels.length) - 1];
        return Long.parseLong(text.substring(0, text.length() - 1)) * 1000;
    }

    static List<String> numbered(String prefix, int count) {
        List<String> bodies = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            bodies.add(prefix + "-" + number);
        }
        return bodies;
    }

    // ---- checks -----------------------------------------------------------------------------------------------

    static void check(boolean condition, String why) {
        if (!condition) {
            throw new AssertionError(why);
        }
    }

    static void same(Object got, Object expected, String what) {
        check(Objects.equals(got, expected), what + ": got " + got + ", expected " + expected);
    }

    static void note(String text) {
        System.out.println("note " + caseName.get() + " " + text);
    }

    static String oneLine(Throwable error) {
        String text = error.getClass().getSimpleName() + ": " + error.getMessage();
        text = text.replaceAll("\\s+", " ");
        return text.length() > 400 ? text.substring(0, 400) : text;
    }

    // ---- producers --------------------------------------------------------------------------------------------

    /** A producer that never sends twice, so that the number of stored copies is known. */
    static DefaultMQProducer producer() throws Exception {
        DefaultMQProducer made = new DefaultMQProducer(fresh("pg"));
        made.setNamesrvAddr(NAMESRV);
        made.setInstanceName(fresh("instance"));
        made.setSendMsgTimeout(10_000);
        made.setRetryTimesWhenSendFailed(0);
        made.setRetryTimesWhenSendAsyncFailed(0);
        made.start();
        return made;
    }

    static Message message(String topic, String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    static Message message(String topic, String tags, String keys, String body) {
        return new Message(topic, tags, keys, body.getBytes(StandardCharsets.UTF_8));
    }

    static void send(DefaultMQProducer sender, String topic, Collection<String> bodies) throws Exception {
        for (String body : bodies) {
            ok(sender.send(message(topic, body)));
        }
    }

    static SendResult ok(SendResult result) {
        same(result.getSendStatus(), SendStatus.SEND_OK, "send status");
        return result;
    }

    // ---- consumers --------------------------------------------------------------------------------------------

    /** One delivery. */
    record Got(MessageExt message, String body, long at) {
        int round() {
            return message.getReconsumeTimes();
        }

        String property(String name) {
            return message.getProperty(name);
        }
    }

    /** What consumers received, in order of arrival. */
    static final class Inbox {
        private final List<Got> got = new ArrayList<>();

        synchronized Got put(MessageExt message) {
            Got one = new Got(message, new String(message.getBody(), StandardCharsets.UTF_8), System.currentTimeMillis());
            got.add(one);
            notifyAll();
            return one;
        }

        synchronized List<Got> all() {
            return new ArrayList<>(got);
        }

        List<String> bodies() {
            return all().stream().map(Got::body).toList();
        }

        List<Got> of(String body) {
            return all().stream().filter(one -> one.body().equals(body)).toList();
        }

        List<Got> await(int count) throws InterruptedException {
            return await(count, 40);
        }

        synchronized List<Got> await(int count, int limitS) throws InterruptedException {
            long end = System.nanoTime() + limitS * 1_000_000_000L;
            while (got.size() < count) {
                long leftMs = (end - System.nanoTime()) / 1_000_000;
                check(leftMs > 0, got.size() + " of " + count + " messages after " + limitS + " s");
                wait(leftMs);
            }
            return new ArrayList<>(got);
        }

        /** Each body once, and nothing more within {@code quietMs}. */
        void exactly(Collection<String> bodies, long quietMs) throws InterruptedException {
            await(bodies.size());
            Thread.sleep(quietMs);
            Map<String, Integer> difference = new TreeMap<>();
            bodies().forEach(body -> difference.merge(body, 1, Integer::sum));
            bodies.forEach(body -> difference.merge(body, -1, Integer::sum));
            difference.values().removeIf(count -> count == 0);
            String text = difference.toString();
            check(difference.isEmpty(), "missing (-) or repeated (+): " + text.substring(0, Math.min(200, text.length())));
        }

        /** Each body at least once. */
        void each(Collection<String> bodies) throws InterruptedException {
            long end = System.nanoTime() + 40_000_000_000L;
            Set<String> missing = new HashSet<>(bodies);
            while (true) {
                missing.removeAll(bodies());
                if (missing.isEmpty()) {
                    return;
                }
                check(System.nanoTime() < end, missing.size() + " never came, such as " + missing.iterator().next());
                Thread.sleep(20);
            }
        }
    }

    /** Decides about one delivery. */
    interface Listener {
        ConsumeConcurrentlyStatus decide(Got got, ConsumeConcurrentlyContext context);
    }

    static DefaultMQPushConsumer consumer(String group) {
        DefaultMQPushConsumer made = new DefaultMQPushConsumer(group);
        made.setNamesrvAddr(NAMESRV);
        made.setInstanceName(fresh("instance"));
        made.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        made.setConsumeThreadMin(4);
        made.setConsumeThreadMax(4);
        made.setPersistConsumerOffsetInterval(500);
        // The 5.x client stamps a new version on its subscription after each rebalance and skips the heartbeat that
        // would tell it where another one is under way; until the next heartbeat its pulls are answered with 25.
        made.setHeartbeatBrokerInterval(2000);
        return made;
    }

    static DefaultMQPushConsumer push(String group, String topic, String expression, Inbox inbox, Listener listener)
            throws Exception {
        return push(consumer(group), topic, expression, inbox, listener);
    }

    static DefaultMQPushConsumer push(
            DefaultMQPushConsumer made, String topic, String expression, Inbox inbox, Listener listener) throws Exception {
        made.subscribe(topic, expression);
        made.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            ConsumeConcurrentlyStatus status = ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            for (MessageExt message : messages) {
                status = listener.decide(inbox.put(message), context);
            }
            return status;
        });
        made.start();
        return made;
    }

    /** A consumer whose every message succeeds. */
    static Inbox push(String group, String topic, String expression) throws Exception {
        Inbox inbox = new Inbox();
        push(group, topic, expression, inbox, succeed());
        return inbox;
    }

    static Listener succeed() {
        return (got, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    /**
     * Makes the group's retry topic known before the consumer under test starts: the broker creates it at the first
     * heartbeat, and a client asks again for a missing route only after 30 s and spreads queues after 20 s.
     */
    static void prepareGroup(String group, String topic) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer first = push(group, topic, "*", inbox, succeed());
        inbox.await(1);
        Thread.sleep(1000); // the offset is committed, so the message does not come again
        first.shutdown();
        Thread.sleep(300);
    }

    /** Checks that a message was not stored before {@code dueMs}; gives how late it was. */
    static long notEarly(Got got, long dueMs) {
        long late = got.message().getStoreTimestamp() - dueMs;
        check(late >= -EARLY_MS, got.body() + " round " + got.round() + " was stored " + -late + " ms early");
        return late;
    }

    static String span(Collection<Long> values) {
        return values.stream().min(Long::compare).orElse(0L) + " to " + values.stream().max(Long::compare).orElse(0L);
    }

    static <T, R> List<R> map(Collection<T> values, Function<T, R> by) {
        return values.stream().map(by).toList();
    }

    @SafeVarargs
    static <T> List<T> join(Collection<T>... parts) {
        List<T> all = new ArrayList<>();
        Arrays.stream(parts).forEach(all::addAll);
        return all;
    }

    private Kit() {
    }
}
