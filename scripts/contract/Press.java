import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Presses by java.net.http with its default settings: it offers an upgrade to HTTP/2 (h2c) with every request.
 *
 * <p>java Press.java BASE [PRESSES]. None may be lost: each press is answered 200, all presses of a shopper are the same attempt,
 * and each shopper's result is SUCCESS. Exit code 1 otherwise.
 */
public class Press {
    private static final int SHOPPERS = 200;
    private static final int THREADS = 16;
    private static final Pattern TOKEN = Pattern.compile("\"token\":\"([^\"]+)\"");
    private static final Pattern ATTEMPT = Pattern.compile("\"attemptId\":\"([^\"]+)\"");
    private static final Pattern SALE = Pattern.compile("\"id\":(\\d+)");
    private static final Pattern PRODUCT = Pattern.compile("\"productId\":(\\d+)");

    private final HttpClient http = HttpClient.newHttpClient();
    private final String base;
    private final String run = Long.toString(System.nanoTime(), 36);

    private Press(String base) {
        this.base = base;
    }

    public static void main(String[] args) throws Exception {
        int presses = args.length > 1 ? Integer.parseInt(args[1]) : 10_000;
        new Press(args[0]).run(presses);
    }

    private void run(int presses) throws Exception {
        List<String> tokens = inParallel(SHOPPERS, this::shopper);
        String status = send(get("/api/flash-sale/status", tokens.get(0))).body();
        String sale = find(SALE, status);
        String product = find(PRODUCT, status);

        ConcurrentHashMap<Integer, String> attempts = new ConcurrentHashMap<>();
        ConcurrentHashMap<String, AtomicInteger> lost = new ConcurrentHashMap<>();
        long begun = System.nanoTime();
        inParallel(presses, press -> {
            int shopper = press % SHOPPERS;
            String failure = press(sale, tokens.get(shopper), shopper, attempts);
            if (failure != null) {
                lost.computeIfAbsent(failure, none -> new AtomicInteger()).incrementAndGet();
            }
            return null;
        });
        double secs = (System.nanoTime() - begun) / 1e9;
        inParallel(SHOPPERS, shopper -> {
            String failure = result(product, tokens.get(shopper));
            if (failure != null) {
                lost.computeIfAbsent(failure, none -> new AtomicInteger()).incrementAndGet();
            }
            return null;
        });
        System.out.printf("Java: %d presses of %d shoppers in %.1f s, lost: %s%n", presses, SHOPPERS, secs, lost.isEmpty() ? "none" : lost);
        System.exit(lost.isEmpty() ? 0 : 1);
    }

    private String shopper(int number) throws Exception {
        String name = "java" + run + number;
        String login = "\"username\":\"" + name + "\",\"password\":\"a word of Java\"";
        send(post("/api/auth/register", null, "{" + login + ",\"email\":\"" + name + "@example.com\"}"));
        return find(TOKEN, send(post("/api/auth/login", null, "{" + login + "}")).body());
    }

    private String press(String sale, String token, int shopper, ConcurrentHashMap<Integer, String> attempts) {
        try {
            HttpResponse<String> answer = send(post("/api/flash-sale/attempt/" + sale, token, ""));
            if (answer.statusCode() != 200) {
                return answer.statusCode() + " " + answer.body();
            }
            String attempt = find(ATTEMPT, answer.body());
            String first = attempts.putIfAbsent(shopper, attempt);
            return first == null || first.equals(attempt) ? null : "a second attempt of one shopper";
        } catch (Exception error) {
            return error.toString();
        }
    }

    private String result(String product, String token) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (true) {
            HttpResponse<String> answer = send(get("/api/orders/status/" + product, token));
            if (answer.statusCode() == 200) {
                return answer.body().contains("\"SUCCESS\"") ? null : "result " + answer.body();
            }
            if (System.nanoTime() > deadline) {
                return "no result within 60 s: " + answer.body();
            }
            Thread.sleep(50);
        }
    }

    private HttpResponse<String> send(HttpRequest request) throws Exception {
        return http.send(request, HttpResponse.BodyHandlers.ofString());
    }

    private HttpRequest get(String path, String token) {
        return HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(30)).header("Authorization", "Bearer " + token).build();
    }

    private HttpRequest post(String path, String token, String body) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(30));
        if (token != null) {
            request.header("Authorization", "Bearer " + token);
        }
        if (!body.isEmpty()) {
            request.header("Content-Type", "application/json");
        }
        return request.POST(HttpRequest.BodyPublishers.ofString(body)).build();
    }

    private static String find(Pattern pattern, String text) {
        Matcher matcher = pattern.matcher(text);
        if (!matcher.find()) {
            throw new IllegalStateException(text);
        }
        return matcher.group(1);
    }

    private interface Task<T> {
        T run(int number) throws Exception;
    }

    private static <T> List<T> inParallel(int count, Task<T> task) throws Exception {
        var threads = Executors.newFixedThreadPool(THREADS);
        try {
            List<Callable<T>> calls = new ArrayList<>();
            for (int number = 0; number < count; number++) {
                int own = number;
                calls.add(() -> task.run(own));
            }
            List<T> results = new ArrayList<>();
            for (var call : threads.invokeAll(calls)) {
                results.add(call.get());
            }
            return results;
        } finally {
            threads.shutdown();
        }
    }
}
