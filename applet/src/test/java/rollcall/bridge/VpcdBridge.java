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
import rollcall.platform.Profile;

/**
  * Puts the applet into a vpcd reader. One process is one card, on the strict platform unless `--platform lenient`
  * selects the plain simulator. `--buffer` and `--piece` set the strict platform's APDU buffer length and the size of
  * data pieces.
 *
 * A UNIX socket takes one command per line and answers each with `ok` or `error TEXT` when it is done: `remove`,
 * `insert` (the same card), `new` (a blank card), `quit`.
 */
public final class VpcdBridge {

    /** A contactless card in the form of PC/SC part 3; its capabilities: chaining, extended length. */
    private static final String ATR = "3B8580018073C821C0DE";
    private static final List<String> OPTIONS = List.of("--connect", "--control", "--start-keys-file", "--atr", "--platform",
        "--buffer", "--piece");
    private static final String LENIENT = "lenient";
    private static final int USAGE = 2;

    private final byte[] startKeys;
    private final Profile profile;
    private final VpcdSlot slot;

    private VpcdBridge(InetSocketAddress reader, byte[] atr, byte[] startKeys, Profile profile) {
        this.startKeys = startKeys;
        this.profile = profile;
        slot = new VpcdSlot(reader, atr, new SimulatedCard(startKeys, profile));
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = parse(args);
        if (options.get("--platform").equals(LENIENT) && SimulatedCard.isStrict()) {
            Lenient.main(args);
            return;
        }
        String[] reader = options.get("--connect").split(":");
        byte[] atr = HexFormat.of().parseHex(options.getOrDefault("--atr", ATR));
        byte[] startKeys = readStartKeys(options.get("--start-keys-file"));
        Path control = Path.of(options.get("--control"));
        Profile profile = new Profile(Integer.parseInt(options.get("--buffer")), Integer.parseInt(options.get("--piece")));
        new VpcdBridge(new InetSocketAddress(reader[0], Integer.parseInt(reader[1])), atr, startKeys, profile).run(control);
    }

    private static Map<String, String> parse(String[] args) {
        Map<String, String> options = new HashMap<>(Map.of("--platform", "strict",
            "--buffer", String.valueOf(Profile.REFERENCE.buffer()), "--piece", String.valueOf(Profile.REFERENCE.piece())));
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        boolean known = OPTIONS.containsAll(options.keySet()) && args.length % 2 == 0
            && options.get("--platform").matches("strict|" + LENIENT)
            && options.get("--buffer").matches("\\d{1,3}") && options.get("--piece").matches("\\d{1,3}");
        String connect = options.get("--connect");
        if (!known || connect == null || !connect.matches("[^:]+:\\d+") || !options.containsKey("--control")) {
            System.err.println("usage: VpcdBridge --connect HOST:PORT --control SOCKET"
                + " [--start-keys-file FILE] [--atr HEX] [--platform strict|lenient] [--buffer N] [--piece N]");
            System.exit(USAGE);
        }
        return options;
    }

    /** Reads three keys of 32 hex digits each, or one used for all three; no keys without a file. */
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
                    // Another client may connect.
                }
            }
        } finally {
            Files.deleteIfExists(control);
        }
    }

    /** Serves a control client; false after `quit`. */
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
                slot.replace(new SimulatedCard(startKeys, profile));
                slot.insert();
                return "ok";
            default:
                return "error unknown command";
        }
    }
}
