package clients;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The cases of the Java client. {@code --list} names them, {@code NAME...} runs those, and {@code produce},
 * {@code delay} and {@code consume} are the tools that the kill cases use.
 */
public final class Main {
    private static final int AT_ONCE = 6;

    /** One case: it throws when something is wrong. */
    interface Case {
        void run() throws Exception;
    }

    private static final Map<String, Case> CASES = new LinkedHashMap<>();

    static void add(String name, Case body) {
        CASES.put(name, body);
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && Tools.run(args)) {
            exit(0);
        }
        Producing.register();
        Consuming.register();
        Failing.register();
        Finding.register();
        Talking.register();
        if (args.length == 1 && args[0].equals("--list")) {
            CASES.keySet().forEach(System.out::println);
            exit(0);
        }
        long limitMs = Long.parseLong(System.getenv().getOrDefault("CLIENTS_CASE_LIMIT_S", "90")) * 1000;
        ExecutorService runners = Executors.newFixedThreadPool(AT_ONCE);
        List<Future<?>> running = new ArrayList<>();
        for (String name : args) {
            running.add(runners.submit(() -> report(name, limitMs)));
        }
        for (Future<?> one : running) {
            one.get();
        }
        exit(0);
    }

    /** Clients leave threads behind that are no daemons, and a case that ran out of time its own. */
    private static void exit(int status) {
        System.out.flush();
        Runtime.getRuntime().halt(status);
    }

    private static void report(String name, long limitMs) {
        long start = System.nanoTime();
        CompletableFuture<Void> end = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                Kit.caseName.set(name);
                CASES.get(name).run();
                end.complete(null);
            } catch (Throwable error) {
                end.completeExceptionally(error);
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        String line;
        try {
            end.get(limitMs, TimeUnit.MILLISECONDS);
            line = "ok " + name + " " + (System.nanoTime() - start) / 1_000_000;
        } catch (TimeoutException late) {
            line = "FAIL " + name + " not done after " + limitMs / 1000 + " s";
        } catch (Exception failure) {
            Throwable cause = failure.getCause() == null ? failure : failure.getCause();
            cause.printStackTrace();
            line = "FAIL " + name + " " + Kit.oneLine(cause);
        }
        System.out.println(line);
    }

    private Main() {
    }
}
