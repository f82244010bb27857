package rollcall.learner;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import rollcall.bridge.VpcdBridge;
import rollcall.terminal.Bytes;

/** The applet in a simulator of its own process: two of them in one, used in turn, disturb each other. */
final class BridgedCard implements Card {

    private static final int RESET = 2;

    private final Process process;
    private final Path folder;
    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;

    BridgedCard(byte[] startKeys) {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            folder = Files.createTempDirectory("rollcall");
            Path keys = Files.writeString(folder.resolve("keys"), Bytes.hex(startKeys));
            process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dcom.licel.jcardsim.randomdata.secure=1", "-cp", System.getProperty("java.class.path"),
                VpcdBridge.class.getName(), "--connect", "127.0.0.1:" + server.getLocalPort(),
                "--control", folder.resolve("control").toString(), "--start-keys-file", keys.toString())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            socket = server.accept();
            socket.setTcpNoDelay(true);
            in = new DataInputStream(socket.getInputStream());
            out = new DataOutputStream(socket.getOutputStream());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void tell(byte[] message) throws IOException {
        out.write(Bytes.cat(Bytes.be(message.length, 2), message));
        out.flush();
    }

    @Override
    public byte[] transmit(byte[] apdu) {
        try {
            tell(apdu);
            byte[] answer = new byte[in.readUnsignedShort()];
            in.readFully(answer);
            return answer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void restore(boolean wasBlocked) {
        try {
            tell(Bytes.of(RESET));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void save() {
        // It stands as it is: no word changes it before a valid C-MAC, and then it is not asked.
    }

    @Override
    public void close() {
        process.destroyForcibly();
        try {
            socket.close();
            for (String name : new String[] {"keys", "control"}) {
                Files.deleteIfExists(folder.resolve(name));
            }
            Files.delete(folder);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
