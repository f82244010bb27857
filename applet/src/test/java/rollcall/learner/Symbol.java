package rollcall.learner;

/** The alphabet: what the learner may send to a token. Each symbol is well-formed unless its name says otherwise. */
public enum Symbol {
    SELECT,
    SELECT_OTHER,
    GET_CERTIFICATE,
    GET_OWN_CERTIFICATE,
    GET_CA_LIST,
    CERTIFICATE_READ,
    CERTIFICATE_WRITE,
    CERTIFICATE_ADMIN,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_OF_A_TOKEN,
    CERTIFICATE_FORGED,
    AGREE,
    AGREE_OWN,
    AGREE_OTHER_PARAMETERS,
    AGREE_OFF_CURVE,
    HEARTBEAT,
    READ_RECORD,
    PROVE,
    PROVE_WITH_SLOT,
    RESUME,
    RESUME_OTHER_TID,
    RESUME_SHORT,
    PRESENCE,
    PRESENCE_TWICE,
    WRITE_RECORD,
    PUT_CA_KEY,
    BLOCK,
    UNBLOCK,
    WRONG_MAC,
    HEARTBEAT_TWICE,
    UNKNOWN_INS,
    PLAIN_READ,
    PLAIN_WRITE,
    ODD_CHAIN,
    INITIALIZE_UPDATE,
    EXTERNAL_AUTHENTICATE,
    EXTERNAL_WRONG,
    GET_RESPONSE,
    UNKNOWN_CLASS;

    /** Whether only clients that know the fast tap send this. */
    boolean isOfFastTap() {
        return switch (this) {
            case PROVE_WITH_SLOT, RESUME, RESUME_OTHER_TID, RESUME_SHORT, PRESENCE, PRESENCE_TWICE -> true;
            default -> false;
        };
    }
}
