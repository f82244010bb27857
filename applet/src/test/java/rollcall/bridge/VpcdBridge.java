package rollcall.bridge;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * Puts the applet, in the simulator, into a vpcd reader. One process is one card.
 *
 * A UNIX socket takes one command per line and answers each with `ok` or `error TEXT` when it is done: `remove`,
 * `insert` (the same card), `new` (a blank card), `quit`.
 */
public final class VpcdBridge {

    /** A contactless card as PC/SC part 3 shows it; its capabilities: chaining, extended length. */
    private static final String ATR = "3B8580018073C821C0DE";
    private static final List<String> OPTIONS = List.of("--connect", "--control", "--start-keys-file", "--atr");
    private static final int USAGE = 2;

    private final byte[] startKeys;
    private final VpcdSlot slot;

    private VpcdBridge(InetSocketAddress reader, byte[] atr, byte[] startKeys) {
        this.startKeys = startKeys;
        slot = new VpcdSlot(reader, atr, new SimulatedCard(startKeys));
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = parse(args);
        String[] reader = options.get("--connect").split(":");
        byte[] atr = HexFormat.of().parseHex(options.getOrDefault("--atr", ATR));
        byte[] startKeys = readStartKeys(options.get("--start-keys-file"));
        Path control = Path.of(options.get("--control"));
        new VpcdBridge(new InetSocketAddress(reader[0], Integer.parseInt(reader[1])), atr, startKeys).run(control);
    }

    private static Map<String, String> parse(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        boolean known = OPTIONS.containsAll(options.keySet()) && args.length % 2 == 0;
        String connect = options.get("--connect");
        if (!known || connect == null || !connect.matches("[^:]+:\\d+") || !options.containsKey("--control")) {
            System.err.println("usage: VpcdBridge --connect HOST:PORT --control SOCKET"
                + " [--start-keys-file FILE] [--atr HEX]");
            System.exit(USAGE);
        }
        return options;
    }

    /** Three keys of 32 hex digits each, or one that serves for all three; no file, no keys. */
    private static byte[] readStartKeys(String file) throws IOException {
        if (file == null) {
            return new byte[0];
        }
        String digits = Files.readString(Path.of(file)).replaceAll("\\s", "");
        byte[] keys = HexFormat.of().parseHex(digits.length() == 32 ? digits.repeat(3) : digits);
        if (keys.length != 48) {
            throw new IOException(file + ": expected 32 hex digits, or three times 32");
        }
        return keys;
    }

    private void run(Path control) throws IOException {
        Files.deleteIfExists(control);
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(control));
            Thread service = new Thread(slot, "vpcd");
            service.setDaemon(true);
            service.start();
            boolean running = true;
            while (running) {
                try (SocketChannel client = server.accept()) {
                    running = obey(client);
                } catch (IOException clientGone) {
                    // The next one may connect.
                }
            }
        } finally {
            Files.deleteIfExists(control);
        }
    }

    /** False after `quit`. */
    private boolean obey(SocketChannel client) throws IOException {
        BufferedReader in = new BufferedReader(Channels.newReader(client, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer;
            try {
                answer = perform(line.trim());
            } catch (IOException | InterruptedException | RuntimeException failure) {
                answer = "error " + failure.getMessage();
            }
            client.write(ByteBuffer.wrap((answer + "\n").getBytes(StandardCharsets.UTF_8)));
            if (line.trim().equals("quit")) {
                return false;
            }
        }
        return true;
    }

    private String perform(String command) throws IOException, InterruptedException {
        switch (command) {
            case "remove":
            case "quit":
                slot.remove();
                return "ok";
            case "insert":
                slot.insert();
                return "ok";
            case "new":
                slot.replace(new SimulatedCard(startKeys));
                slot.insert();
                return "ok";
            default:
                return "error unknown command";
        }
    }
}
