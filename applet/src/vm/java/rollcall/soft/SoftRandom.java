package rollcall.soft;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;

/**
  * The reference implementation's random numbers are the same after every power-up and on every card. This class seeds
  * them with the card's own seed, which the host writes into the image in place of the mark, and a count of power-ups.
 */
final class SoftRandom extends RandomData {

    // The 32-byte mark. A library must not own arrays, and static shorts are in the image once it is loaded.
    private static short s0 = (short) 0xA5A4;
    private static short s1 = (short) 0xA7A6;
    private static short s2 = (short) 0xA1A0;
    private static short s3 = (short) 0xA3A2;
    private static short s4 = (short) 0xADAC;
    private static short s5 = (short) 0xAFAE;
    private static short s6 = (short) 0xA9A8;
    private static short s7 = (short) 0xABAA;
    private static short s8 = (short) 0xB5B4;
    private static short s9 = (short) 0xB7B6;
    private static short s10 = (short) 0xB1B0;
    private static short s11 = (short) 0xB3B2;
    private static short s12 = (short) 0xBDBC;
    private static short s13 = (short) 0xBFBE;
    private static short s14 = (short) 0xB9B8;
    private static short s15 = (short) 0xBBBA;
    private static short powerUps;

    private final RandomData inner;
    private final byte[] digest;
    private final byte[] seeded;

    SoftRandom() {
        inner = RandomData.getInstance(ALG_PSEUDO_RANDOM);
        digest = JCSystem.makeTransientByteArray((short) 34, JCSystem.CLEAR_ON_RESET);
        seeded = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    private void seedOnce() {
        if (seeded[0] != 0) {
            return;
        }
        // The platform uses only the first bytes of a seed, so the count is mixed in with a digest.
        powerUps++;
        Util.setShort(digest, (short) 0, s0);
        Util.setShort(digest, (short) 2, s1);
        Util.setShort(digest, (short) 4, s2);
        Util.setShort(digest, (short) 6, s3);
        Util.setShort(digest, (short) 8, s4);
        Util.setShort(digest, (short) 10, s5);
        Util.setShort(digest, (short) 12, s6);
        Util.setShort(digest, (short) 14, s7);
        Util.setShort(digest, (short) 16, s8);
        Util.setShort(digest, (short) 18, s9);
        Util.setShort(digest, (short) 20, s10);
        Util.setShort(digest, (short) 22, s11);
        Util.setShort(digest, (short) 24, s12);
        Util.setShort(digest, (short) 26, s13);
        Util.setShort(digest, (short) 28, s14);
        Util.setShort(digest, (short) 30, s15);
        Util.setShort(digest, (short) 32, powerUps);
        Platform.sha256().doFinal(digest, (short) 0, (short) 34, digest, (short) 0);
        inner.setSeed(digest, (short) 0, (short) 8);
        inner.generateData(digest, (short) 8, (short) 8);
        seeded[0] = 1;
    }

    public void generateData(byte[] b, short o, short n) {
        seedOnce();
        inner.generateData(b, o, n);
    }

    public short nextBytes(byte[] b, short o, short n) {
        generateData(b, o, n);
        return (short) (o + n);
    }

    public void setSeed(byte[] b, short o, short n) {
        inner.setSeed(b, o, n);
    }

    public byte getAlgorithm() {
        return ALG_SECURE_RANDOM;
    }
}
