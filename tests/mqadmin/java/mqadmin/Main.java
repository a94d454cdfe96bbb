package mqadmin;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * Runs mqadmin's commands in one process: each line of the input is a command, its words separated by tabs. What a
 * command prints goes to the output, and a line with {@link #END} after it. A command that ends the process ends it.
 * Words that begin with "!" are not mqadmin's: they make clients that stay online.
 */
public final class Main {
    private static final String END = "\u0001";
    private static final List<Object> ONLINE = new ArrayList<>();

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split("\t", -1);
            try {
                switch (words[0]) {
                    case "!list" -> list();
                    case "!produce" -> produce(words[1], words[2], Integer.parseInt(words[3]), false);
                    case "!trace" -> produce(words[1], words[2], 1, true);
                    case "!consume" -> consume(words[1], words[2], false, () -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
                    case "!consumeTraced" ->
                        consume(words[1], words[2], true, () -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
                    case "!fail" -> consume(words[1], words[2], false, () -> ConsumeConcurrentlyStatus.RECONSUME_LATER);
                    case "!hold" -> consume(words[1], words[2], false, Main::forever);
                    case "!kv" -> kv(words[1], words[2]);
                    default -> MQAdminStartup.main0(words, null);
                }
            } catch (Throwable failure) {
                failure.printStackTrace(System.out);
            }
            System.err.flush();
            System.out.println();
            System.out.println(END);
            System.out.flush();
        }
        System.exit(0);
    }

    private static void list() throws Exception {
        MQAdminStartup.initCommand();
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (List.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                for (Object command : (List<?>) field.get(null)) {
                    System.out.println("command " + ((SubCommand) command).commandName());
                }
            }
        }
    }

    private static void produce(String group, String topic, int count, boolean traced) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group, traced, null);
        producer.setInstanceName(group);
        producer.setSendMsgTimeout(60_000);
        producer.start();
        ONLINE.add(producer);
        for (int i = 0; i < count; i++) {
            SendResult sent = producer.send(new Message(topic, "TagA", "key" + i, ("body" + i).getBytes()));
            System.out.println("sent " + sent.getMsgId() + " " + sent.getOffsetMsgId() + " "
                + sent.getMessageQueue().getQueueId() + " " + sent.getQueueOffset());
        }
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
    }

    private static void consume(
        String group, String topic, boolean traced, Supplier<ConsumeConcurrentlyStatus> outcome) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(
            group, null, new AllocateMessageQueueAveragely(), traced, null);
        consumer.setInstanceName(group);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        // What fails is given up soon.
        consumer.setMaxReconsumeTimes(1);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> outcome.get());
        consumer.start();
        ONLINE.add(consumer);
    }

    private static ConsumeConcurrentlyStatus forever() {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
    }

    /** What the name service keeps: mqadmin can set that, and not show it. */
    private static void kv(String namespace, String key) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.setInstanceName(namespace + key + System.nanoTime());
        admin.start();
        try {
            System.out.println("value " + admin.getKVConfig(namespace, key));
            System.out.println("all " + admin.getKVListByNamespace(namespace).getTable());
        } catch (MQClientException none) {
            System.out.println("none, code " + none.getResponseCode());
        } finally {
            admin.shutdown();
        }
    }
}
