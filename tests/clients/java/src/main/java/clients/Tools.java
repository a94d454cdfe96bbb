package clients;

import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What the kill cases start as processes of their own. The Python tools print the same lines. */
final class Tools {
    static boolean run(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> {
                long pauseMs = args.length > 4 ? Long.parseLong(args[4]) : 3;
                produce(args[1], args[2], Integer.parseInt(args[3]), pauseMs);
            }
            case "delay" -> delay(args[1], Integer.parseInt(args[2]));
            case "consume" -> consume(args[1], args[2]);
            default -> {
                return false;
            }
        }
        return true;
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** Sends each body once: {@code ack BODY QUEUE OFFSET}, or {@code unknown BODY why} where no answer came. */
    private static void produce(String topic, String prefix, int count, long pauseMs) throws Exception {
        DefaultMQProducer sender = Kit.producer();
        sender.setSendMsgTimeout(3000);
        for (int number = 0; number < count; number++) {
            String body = prefix + "-" + number;
            try {
                SendResult result = sender.send(Kit.message(topic, body));
                boolean stored = result.getSendStatus() == SendStatus.SEND_OK;
                say((stored ? "ack " : "unknown ") + body + " " + result.getMessageQueue().getQueueId() + " "
                    + result.getQueueOffset());
            } catch (Exception failure) {
                say("unknown " + body + " " + Kit.oneLine(failure));
                Thread.sleep(200);
            }
            Thread.sleep(pauseMs);
        }
    }

    /** Messages of the longest level and, every other one, of an absolute time; the body carries the due time. */
    private static void delay(String topic, int count) throws Exception {
        DefaultMQProducer sender = Kit.producer();
        for (int number = 0; number < count; number++) {
            long due = System.currentTimeMillis() + Kit.levelMs(18);
            String body = (number % 2 == 0 ? "level-" : "timed-") + number + "-" + due;
            Message message = Kit.message(topic, body);
            if (number % 2 == 0) {
                message.setDelayTimeLevel(18);
            } else {
                Consuming.setTime(message, "setDeliverTimeMs", "TIMER_DELIVER_MS", due);
            }
            Kit.ok(sender.send(message));
            say("ack " + body + " - -");
        }
    }

    /** {@code got BODY QUEUE OFFSET STORED} for each delivery, until the standard input ends; then leaves the group. */
    private static void consume(String group, String topic) throws Exception {
        DefaultMQPushConsumer consumer = Kit.consumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            for (MessageExt message : messages) {
                say("got " + new String(message.getBody()) + " " + message.getQueueId() + " " + message.getQueueOffset()
                    + " " + message.getStoreTimestamp());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        while (System.in.read() >= 0) {
            // only the end matters
        }
        consumer.shutdown();
        say("closed");
    }

    private Tools() {
    }
}
