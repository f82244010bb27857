package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertEquals;

import rollcall.bridge.SimulatedCard;
import rollcall.terminal.Answer;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;

/** Creates simulated cards for tests: blank, or enrolled in open or private mode. */
final class Cards {

    private Cards() {
    }

    static Enrollment blank() {
        byte[] keys = Crypto.random(48);
        SimulatedCard card = new SimulatedCard(keys);
        return new Enrollment(new Line(card::transmit), keys);
    }

    static Enrollment open() {
        return blank().run();
    }

    static Enrollment closed() {
        Enrollment token = blank();
        token.isPrivate = true;
        return token.run();
    }

    static void refused(int status, Answer answer) {
        assertEquals(String.format("%04X", status), String.format("%04X", answer.status()));
        assertEquals(0, answer.data().length);
    }
}
