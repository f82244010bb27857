-- The terminal whose fresh nonce is in a proof: its channels may be resumed. None of any other proof.
ALTER TABLE proofs ADD COLUMN terminal TEXT;
