package rollcall.bridge;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;

/**
  * The card slot of a vpcd reader: a TCP connection that carries frames of a two-byte length followed by an APDU or one
  * control byte. Connected means inserted.
 */
final class VpcdSlot implements Runnable {

    private static final int POWER_OFF = 0;
    private static final int POWER_ON = 1;
    private static final int RESET = 2;
    private static final int GET_ATR = 4;
    private static final int RETRY_MS = 50;
    private static final long PATIENCE_MS = 10_000;

    private final InetSocketAddress reader;
    private final byte[] atr;
    private SimulatedCard card;
    private Socket connection;
    private boolean wanted = true;

    VpcdSlot(InetSocketAddress reader, byte[] atr, SimulatedCard card) {
        this.reader = reader;
        this.atr = atr;
        this.card = card;
    }

    /** Removes the card, which keeps its memory. */
    synchronized void remove() throws InterruptedException {
        wanted = false;
        notifyAll();
        if (connection != null) {
            closeQuietly(connection);
        }
        while (connection != null) {
            wait();
        }
    }

    /** Puts the card back and waits until the reader has it. */
    synchronized void insert() throws IOException, InterruptedException {
        wanted = true;
        notifyAll();
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (connection == null) {
            long left = end - System.currentTimeMillis();
            if (left <= 0) {
                throw new IOException("no reader listens at " + reader);
            }
            wait(left);
        }
    }

    synchronized void replace(SimulatedCard fresh) throws InterruptedException {
        remove();
        card = fresh;
    }

    /** Serves until the process ends. Waits for a reader that has gone away (pcscd was stopped). */
    @Override
    public void run() {
        try {
            while (true) {
                SimulatedCard present = awaitInsertion();
                try (Socket socket = new Socket()) {
                    socket.setTcpNoDelay(true);
                    socket.connect(reader);
                    if (hold(socket)) {
                        serve(socket, present);
                    }
                } catch (IOException gone) {
                    Thread.sleep(RETRY_MS);
                } finally {
                    present.reset();
                    release();
                }
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized SimulatedCard awaitInsertion() throws InterruptedException {
        while (!wanted) {
            wait();
        }
        return card;
    }

    private synchronized boolean hold(Socket socket) {
        if (wanted) {
            connection = socket;
            notifyAll();
        }
        return wanted;
    }

    private synchronized void release() {
        connection = null;
        notifyAll();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException alreadyGone) {
            // It should be closed anyway.
        }
    }

    private void serve(Socket socket, SimulatedCard present) throws IOException {
        DataInputStream in = new DataInputStream(socket.getInputStream());
        OutputStream out = socket.getOutputStream();
        try {
            while (true) {
                byte[] frame = new byte[in.readUnsignedShort()];
                in.readFully(frame);
                byte[] answer = answer(frame, present);
                if (answer != null) {
                    send(out, answer);
                }
            }
        } catch (EOFException readerClosed) {
            throw new IOException("the reader closed the connection", readerClosed);
        }
    }

    /** Null for control bytes that have no answer. */
    private byte[] answer(byte[] frame, SimulatedCard present) {
        if (frame.length != 1) {
            return present.transmit(frame);
        }
        switch (frame[0]) {
            case GET_ATR:
                return atr;
            case POWER_OFF:
            case POWER_ON:
            case RESET:
                present.reset();
                return null;
            default:
                return null;
        }
    }

    /** Sends in one write: vpcd reads length and payload separately and would wait for the second packet. */
    private static void send(OutputStream out, byte[] answer) throws IOException {
        byte[] frame = new byte[answer.length + 2];
        frame[0] = (byte) (answer.length >> 8);
        frame[1] = (byte) answer.length;
        System.arraycopy(answer, 0, frame, 2, answer.length);
        out.write(frame);
    }
}
