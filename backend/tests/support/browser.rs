//! A real browser: Debian's chromium, driven by its chromedriver.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use serde_json::json;

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
