//! Tokens, signing in and out, what is refused, and how often one may come.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::tokens::{self, NewToken};
use speedwell_backend::domain::role::Role;
use speedwell_backend::domain::token::{Scope, TokenKind};
use sqlx::PgPool;

use crate::support::{CONFIG, TestApp};

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

/// Makes a token; `long`: how long it holds, in days.
async fn add(pool: &PgPool, name: &str, role: Role, kind: TokenKind, long: i64) -> String {
    let token = format!("secret-of-{name}");
    let hash = sha256_hex(token.as_bytes());
    let new = NewToken {
        kind,
        expires_at: Some(chrono::Utc::now() + chrono::Duration::days(long)),
        scope: Scope::default(),
        ..NewToken::of_person(name, role, &hash)
    };
    let mut connection = pool.acquire().await.unwrap();
    tokens::upsert(&mut connection, &new).await.unwrap();
    token
}

fn form(app: &TestApp, token: &str, to: &str) -> reqwest::RequestBuilder {
    let request = no_redirects().post(format!("{}/sign-in", app.address));
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&to={to}"))
}

/// Signs in; the cookie as `name=value`.
async fn sign_in(app: &TestApp, token: &str) -> String {
    let request = form(app, token, "/").header("sec-fetch-site", "same-origin");
    let (status, cookie, ..) = send(app, request).await;
    assert_eq!(status, 303);
    cookie.split(';').next().unwrap().to_owned()
}

async fn who(app: &TestApp, cookie: &str) -> (String, String) {
    let request = no_redirects().get(format!("{}/sign-in", app.address));
    let (_, new, _, text) = send(app, request.header("cookie", cookie.to_owned())).await;
    let name = text.split("Signed in as ").nth(1).unwrap_or_default();
    (name.split('<').next().unwrap().to_owned(), new)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn signing_in_sets_a_cookie_that_other_sites_cannot_use(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = add(&pool, "ada", Role::Triager, TokenKind::Person, 1).await;
    // From nowhere, and from another site.
    let (status, cookie, ..) = send(&app, form(&app, &ada, "/")).await;
    assert_eq!((status, cookie.as_str()), (403, ""));
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let foreign = form(&app, &ada, "/").header(header, value);
        assert_eq!(send(&app, foreign).await.0, 403, "{header}: {value}");
    }
    // A wrong token.
    let wrong = form(&app, "secret-of-eve", "/").header("sec-fetch-site", "same-origin");
    let (status, cookie, _, text) = send(&app, wrong).await;
    assert_eq!((status, cookie.as_str()), (401, ""));
    assert!(text.contains("This token is unknown"), "{text}");
    // The right one.
    let right = form(&app, &ada, "/queue").header("origin", app.address.clone());
    let (status, cookie, location, _) = send(&app, right).await;
    assert_eq!((status, location.as_str()), (303, "/queue"));
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "the address is plain: {cookie}");
    assert!(!cookie.contains(&ada), "the token is in the cookie");
    let away = form(&app, &ada, "//evil.example").header("sec-fetch-site", "same-origin");
    assert_eq!(send(&app, away).await.2, "/");
    // Who is signed in, and out.
    let own = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(who(&app, &own).await.0, "ada");
    let out = no_redirects().post(format!("{}/sign-out", app.address));
    let out = out.header("cookie", own.clone());
    let foreign = out
        .try_clone()
        .unwrap()
        .header("sec-fetch-site", "cross-site");
    assert_eq!(send(&app, foreign).await.0, 403);
    assert_eq!(who(&app, &own).await.0, "ada");
    let (status, cookie, ..) = send(&app, out.header("sec-fetch-site", "same-origin")).await;
    assert!(status == 303 && cookie.contains("Max-Age=0"), "{cookie}");
    // A copy of the cookie is worth nothing any more.
    assert_eq!(who(&app, &own).await.0, "");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_sign_in_ends_with_its_token(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = add(&pool, "ada", Role::Triager, TokenKind::Person, 1).await;
    let first = sign_in(&app, &ada).await;
    let second = sign_in(&app, &ada).await;
    assert_ne!(first, second);
    let mut connection = pool.acquire().await.unwrap();
    assert!(tokens::revoke(&mut connection, "ada").await.unwrap());
    assert!(!tokens::revoke(&mut connection, "ada").await.unwrap());
    for cookie in [&first, &second] {
        assert_eq!(who(&app, cookie).await.0, "", "it reads on, as nobody");
    }
    // A new token under the same name does not bring them back; its end ends what began with it.
    add(&pool, "ada", Role::Viewer, TokenKind::Person, 1).await;
    assert_eq!(who(&app, &first).await.0, "");
    let third = sign_in(&app, &ada).await;
    assert_eq!(who(&app, &third).await.0, "ada");
    sqlx::query("UPDATE token SET expires_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(who(&app, &third).await.0, "");
    let late = form(&app, &ada, "/").header("sec-fetch-site", "same-origin");
    let (status, _, _, text) = send(&app, late).await;
    assert!(
        status == 401 && text.contains("This token has expired"),
        "{text}"
    );
    let bearer = app
        .client
        .post(format!("{}/api/v1/regressions/1/actions", app.address));
    let bearer = bearer
        .bearer_auth(&ada)
        .json(&serde_json::json!({ "action": "accept" }));
    let (status, _, _, text) = send(&app, bearer).await;
    assert!(status == 401 && text.contains("has expired"), "{text}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_id_of_a_sign_in_is_replaced_and_a_lost_answer_signs_nobody_out(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = add(&pool, "ada", Role::Triager, TokenKind::Person, 1).await;
    let old = sign_in(&app, &ada).await;
    let (name, new) = who(&app, &old).await;
    assert_eq!((name.as_str(), new.as_str()), ("ada", ""), "it is fresh");
    let later = |what: &'static str| {
        let pool = pool.clone();
        async move {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "UPDATE session SET rotated_at = rotated_at - interval '{what}', last_used_at = last_used_at - interval '{what}'"
            )))
            .execute(&pool)
            .await
            .unwrap();
        }
    };
    later("61 minutes").await;
    let (name, new) = who(&app, &old).await;
    assert_eq!(name, "ada");
    let new = new.split(';').next().unwrap().to_owned();
    assert!(new.starts_with("speedwell-session=") && new != old, "{new}");
    // Requests that were under way with the old one are answered, and get no third.
    assert_eq!(who(&app, &old).await, ("ada".to_owned(), String::new()));
    // The answer was lost: the browser still has the old one, and gets another.
    later("2 minutes").await;
    let (name, newer) = who(&app, &old).await;
    let newer = newer.split(';').next().unwrap().to_owned();
    assert!(name == "ada" && newer.starts_with("speedwell-session=") && newer != new);
    assert_eq!(
        who(&app, &new).await.0,
        "",
        "what was lost is worth nothing"
    );
    // Once the new one has been seen, the old one is worth nothing.
    later("2 minutes").await;
    assert_eq!(who(&app, &newer).await, ("ada".to_owned(), String::new()));
    assert_eq!(who(&app, &old).await.0, "");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_token_comes_as_bearer_or_as_a_password_and_its_use_is_noted_once_a_minute(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = add(&pool, "ada", Role::Viewer, TokenKind::Person, 1).await;
    let robot = add(&pool, "robot", Role::Viewer, TokenKind::Importer, 1).await;
    let page = || no_redirects().get(format!("{}/sign-in", app.address));
    let (_, _, _, text) = send(&app, page().bearer_auth(&ada)).await;
    assert!(text.contains("Signed in as ada"), "{text}");
    let written = || async {
        sqlx::query_scalar::<_, String>(
            "SELECT last_used_at::text || xmin::text FROM token WHERE name = 'ada'",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let before = written().await;
    let (_, _, _, text) = send(&app, page().basic_auth("anything", Some(&ada))).await;
    assert!(text.contains("Signed in as ada"), "{text}");
    assert_eq!(written().await, before, "written twice within a minute");
    sqlx::query("UPDATE token SET last_used_at = now() - interval '2 minutes'")
        .execute(&pool)
        .await
        .unwrap();
    let before = written().await;
    send(&app, page().bearer_auth(&ada)).await;
    assert_ne!(written().await, before);
    let (_, _, _, text) = send(&app, page().basic_auth(&ada, Some("wrong"))).await;
    assert!(!text.contains("Signed in"), "{text}");
    // A program's token is no person's.
    let (status, _, _, text) = send(
        &app,
        form(&app, &robot, "/").header("sec-fetch-site", "same-origin"),
    )
    .await;
    assert!(
        status == 401 && text.contains("a program that sends"),
        "{text}"
    );
    let triage = app
        .client
        .post(format!("{}/api/v1/regressions/1/actions", app.address));
    let triage = triage
        .bearer_auth(&robot)
        .json(&serde_json::json!({ "action": "accept" }));
    let (status, _, _, text) = send(&app, triage).await;
    assert!(
        status == 403 && text.contains("robot has the role importer"),
        "{text}"
    );
}

async fn status_of(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn limited(more: &str) -> String {
    format!("trusted_proxies = [\"127.0.0.1\"]\n[limits]\nreading = 5\nacting = 4\nsigning_in = 3\nhooks = 2\n{more}{CONFIG}")
        .replace("data = \"DATA\"\nlisten = \"127.0.0.1:0\"\n", "")
        .replacen("trusted", "data = \"DATA\"\nlisten = \"127.0.0.1:0\"\ntrusted", 1)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn one_address_and_one_token_come_only_so_often(pool: PgPool) {
    let app = TestApp::start_with(&pool, &limited("")).await;
    let ada = add(&pool, "ada", Role::Triager, TokenKind::Person, 1).await;
    let client = no_redirects();
    let get = |from: &str| {
        let request = client.get(format!("{}/subscriptions", app.address));
        request.header("x-forwarded-for", from.to_owned())
    };
    for _ in 0..5 {
        assert_eq!(status_of(get("8.8.8.8")).await.0, 200);
    }
    let refused = get("8.8.8.8").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    assert!(refused.text().await.unwrap().contains("try again in"));
    // What the client wrote before the proxy's word changes nothing; another address does.
    assert_eq!(status_of(get("9.9.9.9, 8.8.8.8")).await.0, 429);
    assert_eq!(status_of(get("9.9.9.9")).await.0, 200);
    assert_eq!(app.get("/health").await.0, 200);
    // A token, from wherever it comes.
    let act = |from: usize| {
        let request = client.post(format!("{}/regressions/1", app.address));
        let request = request.header("x-forwarded-for", format!("7.7.7.{from}"));
        let form = "application/x-www-form-urlencoded";
        request
            .bearer_auth(&ada)
            .header("content-type", form)
            .body("action=note&note=x")
    };
    for from in 0..4 {
        assert_eq!(status_of(act(from)).await.0, 404);
    }
    assert_eq!(status_of(act(4)).await.0, 429);
    // Wrong tokens are tries to sign in, whichever way they come; the right one is not held back by them.
    let wrong = |token: &str| get("6.6.6.6").bearer_auth(token.to_owned());
    let mut answers = Vec::new();
    for number in 0..4 {
        let guess = wrong(&format!("guess {number}"));
        answers.push(status_of(guess).await.0);
    }
    assert_eq!(
        answers,
        [200, 200, 200, 429],
        "reading is public, also with a wrong token"
    );
    assert_eq!(status_of(wrong(&ada)).await.0, 200);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_thousand_wrong_tokens_are_not_even_looked_up(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let client = no_redirects();
    let begun = std::time::Instant::now();
    let mut counts = std::collections::BTreeMap::<u16, u64>::new();
    for number in 0..1000 {
        let request = client
            .post(format!("{}/sign-in", app.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(format!("token=guess-{number}"));
        *counts.entry(status_of(request).await.0).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
    // Ten at once, and one more each six seconds.
    let most = 11 + begun.elapsed().as_secs() / 6;
    assert!((10..=most).contains(&counts[&401]), "{counts:?}");
}
