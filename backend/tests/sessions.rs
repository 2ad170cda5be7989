//! Tokens, signing in and out, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::tokens;
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;
use support::TestApp;

async fn send(app: &TestApp, request: reqwest::RequestBuilder) -> (u16, String, String, String) {
    let response = request.send().await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let (cookie, location) = (header("set-cookie"), header("location"));
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert!(
        !text.contains("secret-of-"),
        "{}: a token is shown",
        app.address
    );
    (status, cookie, location, text)
}

fn no_redirects() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.build().unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn signing_in_sets_a_cookie_that_other_sites_cannot_use(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let hash = sha256_hex(b"secret-of-ada");
    tokens::upsert(&pool, "ada", Role::Triager, &hash)
        .await
        .unwrap();
    let client = no_redirects();
    let url = format!("{}/sign-in", app.address);
    let form = |token: &str, to: &str| {
        let body = format!("token={token}&to={to}");
        let request = client.post(&url).body(body);
        request.header("content-type", "application/x-www-form-urlencoded")
    };
    // From nowhere, and from another site.
    let (status, cookie, _, _) = send(&app, form("secret-of-ada", "/")).await;
    assert_eq!((status, cookie.as_str()), (403, ""));
    let foreign = form("secret-of-ada", "/").header("sec-fetch-site", "cross-site");
    assert_eq!(send(&app, foreign).await.0, 403);
    let foreign = form("secret-of-ada", "/").header("origin", "https://evil.example");
    assert_eq!(send(&app, foreign).await.0, 403);
    // A wrong token.
    let wrong = form("secret-of-eve", "/").header("sec-fetch-site", "same-origin");
    let (status, cookie, _, text) = send(&app, wrong).await;
    assert_eq!((status, cookie.as_str()), (401, ""));
    assert!(text.contains("This token is unknown"), "{text}");
    // The right one.
    let right = form("secret-of-ada", "/queue").header("origin", app.address.clone());
    let (status, cookie, location, _) = send(&app, right).await;
    assert_eq!((status, location.as_str()), (303, "/queue"));
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "the address is plain: {cookie}");
    let away = form("secret-of-ada", "//evil.example").header("sec-fetch-site", "same-origin");
    assert_eq!(send(&app, away).await.2, "/");
    // Who is signed in.
    let own = cookie.split(';').next().unwrap().to_owned();
    let page = client.get(&url).header("cookie", own.clone());
    let (_, _, _, text) = send(&app, page).await;
    assert!(text.contains("Signed in as ada"), "{text}");
    let used: bool = sqlx::query_scalar("SELECT last_used_at IS NOT NULL FROM token")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(used);
    let out = client.post(format!("{}/sign-out", app.address));
    let (status, cookie, _, _) = send(&app, out.header("sec-fetch-site", "same-origin")).await;
    assert!(status == 303 && cookie.contains("Max-Age=0"), "{cookie}");
    // Taken back: it reads on, as nobody.
    assert!(tokens::revoke(&pool, "ada").await.unwrap());
    assert!(!tokens::revoke(&pool, "ada").await.unwrap());
    let (status, _, _, text) = send(&app, client.get(&url).header("cookie", own)).await;
    assert!(status == 200 && !text.contains("Signed in"), "{text}");
}
