package rollcall.learner;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import rollcall.terminal.Bytes;

/** The software token, as a process that takes one line per APDU and restores its saved state by itself. */
final class SoftwareToken implements Card {

    private final Process process;
    private final BufferedReader in;
    private final BufferedWriter out;

    /** @param program the test program that serves a token when ROLLCALL_TEST_STDIO is set */
    SoftwareToken(String program, byte[] startKeys) {
        try {
            ProcessBuilder builder = new ProcessBuilder(program).redirectError(ProcessBuilder.Redirect.INHERIT);
            builder.environment().put("ROLLCALL_TEST_STDIO", Bytes.hex(startKeys));
            process = builder.start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
        out = new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), StandardCharsets.US_ASCII));
    }

    private String ask(String line) {
        try {
            out.write(line);
            out.write('\n');
            out.flush();
            String answer = in.readLine();
            if (answer == null) {
                throw new IOException("the token in software has ended");
            }
            return answer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public byte[] transmit(byte[] apdu) {
        return Bytes.hex(ask(Bytes.hex(apdu)));
    }

    @Override
    public void restore(boolean wasBlocked, boolean hasSlots) {
        ask("restore");
    }

    @Override
    public void save() {
        ask("save");
    }

    @Override
    public void close() {
        process.destroy();
    }
}
