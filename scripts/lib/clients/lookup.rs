//! A lookup with the Rust client: lookup PKI URL TOKEN [TOKEN that nobody has].

use openapi::{
    apis::{Error, configuration::Configuration, taps_api},
    models::{LookupRequest, Problem},
};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [pki, url, token, nobody] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap());
    let read = |name: &str| std::fs::read(format!("{pki}/{name}")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&read("ca.crt")).unwrap()])
        .identity(reqwest::Identity::from_pkcs8_pem(&read("terminal-tls.crt"), &read("terminal-tls.key")).unwrap())
        .build()
        .unwrap();
    let configuration = Configuration { base_path: url, client, ..Configuration::default() };
    let request = LookupRequest { nonces: Some(1), ..LookupRequest::new(token.parse().unwrap()) };
    let found = taps_api::post_lookups(&configuration, request).await.unwrap();
    let refused = match taps_api::post_lookups(&configuration, LookupRequest::new(nobody.parse().unwrap())).await {
        Err(Error::ResponseError(answer)) => serde_json::from_str::<Problem>(&answer.content).unwrap().code,
        other => panic!("{other:?}"),
    };
    let user = found.user.flatten().unwrap();
    println!("{} {} {} {refused}", found.status, user.name, found.nonces.unwrap().len());
}
