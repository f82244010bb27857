//! Whether the CBOR of a presence proof is deterministic in every part, as `dcbor` judges: reads `rollcall scan --proof -o
//! json` from stdin, prints the use counter.

use std::{error::Error, io};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dcbor::CBOR;

fn main() -> Result<(), Box<dyn Error>> {
    let scans: serde_json::Value = serde_json::from_reader(io::stdin())?;
    let cose = BASE64_URL_SAFE_NO_PAD.decode(scans[0]["proof"]["cose"].as_str().ok_or("no proof")?)?;
    let parts = CBOR::try_from_data(cose)?.try_into_expected_tagged_value(18)?.try_into_array()?;
    CBOR::try_from_data(parts[0].try_byte_string()?)?;
    let counter: u32 = CBOR::try_from_data(parts[2].try_byte_string()?)?.try_into_map()?.extract(-70002)?;
    println!("{counter}");
    // -70002: 6, in four bytes.
    let long = CBOR::try_from_hex("a13a000111711a00000006");
    if long.is_ok() { Err("it takes integers that are too long".into()) } else { Ok(()) }
}
