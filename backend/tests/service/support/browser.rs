//! A real browser: Debian's chromium, driven by its chromedriver.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;

use super::TestApp;

/// A running chromedriver; ends when dropped.
pub struct Driver(Child, u16);

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts one on a free port.
pub fn start_driver() -> Driver {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let driver = Command::new("chromedriver")
        .arg(format!("--port={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("chromedriver: {error}; deploy/test installs it"));
    Driver(driver, port)
}

/// Opens a browser of a width in pixels, a phone below 600.
pub async fn open(driver: &Driver, width: u32, dark: bool) -> Client {
    let mut arguments = vec![
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        format!("--window-size={width},900"),
    ];
    if dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let capabilities = json!({
        "goog:chromeOptions": { "args": arguments, "mobileEmulation": if width < 600 { json!({"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 2.0}}) } else { json!(null) } },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let mut capabilities = capabilities.as_object().unwrap().clone();
    if width >= 600 {
        capabilities["goog:chromeOptions"]
            .as_object_mut()
            .unwrap()
            .remove("mobileEmulation");
    }
    for _ in 0..100 {
        let mut builder = ClientBuilder::new(hyper_connector());
        match builder
            .capabilities(capabilities.clone())
            .connect(&format!("http://127.0.0.1:{}", driver.1))
            .await
        {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("the browser did not start");
}

fn hyper_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

/// What a script returns as a number.
pub async fn number(client: &Client, script: &str) -> f64 {
    client
        .execute(script, vec![])
        .await
        .unwrap()
        .as_f64()
        .unwrap()
}

/// No page is wider than the window; tables and charts scroll inside.
pub async fn fits(client: &Client, what: &str) {
    let wide = number(
        client,
        "return document.documentElement.scrollWidth - window.innerWidth",
    )
    .await;
    assert!(wide <= 0.0, "{what} is {wide} pixels too wide");
}

/// Signs in by pasting a token.
pub async fn sign_in(client: &Client, app: &TestApp, token: &str, to: &str) {
    let address = format!("{}/sign-in?to={to}", app.address);
    client.goto(&address).await.unwrap();
    let field = client.find(Locator::Css("input[name=token]")).await;
    let keys = format!("{token}{}", char::from(Key::Enter));
    field.unwrap().send_keys(&keys).await.unwrap();
}

/// The query of the browser's address, once it is as wanted.
pub async fn until_query(client: &Client, wanted: impl Fn(&str) -> bool) -> String {
    for _ in 0..200 {
        let now = client.current_url().await.unwrap();
        let query = now.query().unwrap_or_default();
        if wanted(query) {
            return query.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the address stays {}", client.current_url().await.unwrap());
}
