//! Walks every door: who is let in, what is left behind, and which headers go out.

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use speedwell_backend::alerts::link::{self, Ends};
use speedwell_backend::db::subscriptions;
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;

use crate::support::doors::{Door, POSTS, Post, readings, routes};
use crate::support::triage::{cookie, insert_token};
use crate::support::{CONFIG, TestApp, tour};

fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.build().unwrap()
}

/// Lines of the audit log: `actor action`.
async fn audit(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT actor || ' ' || action FROM audit ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn request(app: &TestApp, post: &Post, path: &str) -> reqwest::RequestBuilder {
    let method = post.route.0.to_uppercase().parse().unwrap();
    let kind = if post.body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    client()
        .request(method, format!("{}{path}", app.address))
        .header("content-type", kind)
        .body(post.body)
}

async fn status(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[test]
fn every_address_that_changes_something_is_walked() {
    let known: BTreeSet<(String, String)> = POSTS
        .iter()
        .map(|post| (post.route.0.to_owned(), post.route.1.to_owned()))
        .collect();
    let routes = routes();
    let missing: Vec<_> = routes
        .iter()
        .filter(|route| route.0 != "get" && !known.contains(*route))
        .collect();
    assert!(
        missing.is_empty(),
        "add these to POSTS in tests/service/support/doors.rs: {missing:?}"
    );
    let gone: Vec<_> = known.difference(&routes).collect();
    assert!(gone.is_empty(), "POSTS knows what is no more: {gone:?}");
}

/// Fills a path's words with what the test has made.
async fn fill(app: &TestApp, post: &Post) -> String {
    let pool = &app.context.pool;
    let mut path = post.path.to_owned();
    if path.contains("MESSAGE") {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO outbox (key, channel, recipient, payload, state, next_attempt_at, finished_at)
             VALUES ('k', 'mail', 'a@example.org', '{}', 'dead', now(), now()) RETURNING id",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        path = path.replace("MESSAGE", &id.to_string());
    }
    if path.contains("DELIVERY") {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO delivery (repository_id, forge, delivery_key, event, headers, body, body_bytes, state, finished_at)
             VALUES (1, 'github', $1, 'ping', '{}', '', 0, 'done', now()) RETURNING id",
        )
        .bind(post.route.1)
        .fetch_one(pool)
        .await
        .unwrap();
        path = path.replace("DELIVERY", &id.to_string());
    }
    if path.contains("SESSION") {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO session (sha256, actor, provider, role, browser, expires_at)
             VALUES ('other', 'is-viewer', 'github', 'viewer', 'another', now() + interval '1 day') RETURNING id",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        path = path.replace("SESSION", &id.to_string());
    }
    path
}

/// Nobody, somebody in whose name another site acts, and somebody with too low a role change nothing; who may, leaves a line in the log.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_changes_something_needs_a_role_and_our_own_page_and_is_noted(pool: PgPool) {
    let (app, _) = tour::start(&pool).await;
    for role in Role::ALL {
        insert_token(&pool, &format!("is-{}", role.as_str()), *role).await;
    }
    let name = |role: Role| format!("is-{}", role.as_str());
    let token = |role: Role| format!("token-of-{}", name(role));
    for post in POSTS {
        let Door::Person(role, action) = post.door else {
            continue;
        };
        let path = fill(&app, post).await;
        let what = post.route.1;
        let before = audit(&pool).await;
        assert_eq!(status(request(&app, post, &path)).await.0, 401, "{what}");
        let wrong = request(&app, post, &path).bearer_auth("wrong");
        let (refused, text) = status(wrong).await;
        assert!(matches!(refused, 401 | 429), "{what}: {refused} {text}");
        let admin = cookie(&app, &token(Role::Admin)).await;
        for (header, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("x-nothing", "neither"),
        ] {
            let forged = request(&app, post, &path)
                .header("cookie", &admin)
                .header(header, value);
            let (refused, text) = status(forged).await;
            assert_eq!(refused, 403, "{what} with {header}: {value}: {text}");
        }
        for lower in Role::ALL.iter().filter(|lower| **lower < role) {
            let request = request(&app, post, &path).bearer_auth(token(*lower));
            let (refused, text) = status(request).await;
            assert!(
                refused == 403 && text.contains(role.as_str()),
                "{what}: {text}"
            );
        }
        assert_eq!(audit(&pool).await, before, "{what}: refused, but noted");
        let own = request(&app, post, &path)
            .header("cookie", cookie(&app, &token(role)).await)
            .header("sec-fetch-site", "same-origin");
        let (done, text) = status(own).await;
        assert!(done < 400, "{what}: {done} {text}");
        let after = audit(&pool).await;
        let line = format!("{} {}", name(role), action.as_str());
        assert_eq!(after[before.len()..], [line], "{what}");
    }
}

/// The doors that are no person's: workers', and the link of a mail.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn other_doors_have_other_proofs(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let admin = insert_token(&pool, "admin", Role::Admin).await;
    for post in POSTS {
        match post.door {
            Door::Worker => {
                let request = request(&app, post, post.path).bearer_auth(&admin);
                let request = request.header("x-speedwell-protocol", "x");
                let (refused, _) = status(request).await;
                assert_eq!(refused, 426, "{}", post.path);
                let request = self::request(&app, post, post.path).header(
                    speedwell_wire::PROTOCOL_HEADER,
                    speedwell_wire::PROTOCOL_VERSION.to_string(),
                );
                // Whatever is found out first: that nobody knows this host, or that the body is none.
                let (refused, text) = status(request.bearer_auth(&admin)).await;
                assert!(matches!(refused, 400 | 401), "{}: {text}", post.path);
            }
            Door::Link => {
                let key = subscriptions::link_key(&pool).await.unwrap();
                let link = link::token(&key, &Ends::Address("ann@example.org".to_owned()));
                let wrong = post.path.replace("LINK", &link[..link.len() - 2]);
                assert_eq!(status(request(&app, post, &wrong)).await.0, 404);
                let path = post.path.replace("LINK", &link);
                assert_eq!(status(request(&app, post, &path)).await.0, 200);
                let subject: String =
                    sqlx::query_scalar("SELECT actor || ': ' || subject FROM audit")
                        .fetch_one(&pool)
                        .await
                        .unwrap();
                assert_eq!(subject, "link:mail: mails to a…@example.org");
            }
            Door::SignIn => {
                let foreign = request(&app, post, post.path);
                let foreign = foreign.header("sec-fetch-site", "cross-site");
                assert_eq!(status(foreign).await.0, 403, "{}", post.path);
            }
            Door::Forge => {
                let (refused, text) = status(request(&app, post, post.path)).await;
                assert!(matches!(refused, 401 | 404), "{}: {text}", post.path);
            }
            Door::Importer => {
                let (refused, text) = status(request(&app, post, post.path)).await;
                assert!(
                    matches!(refused, 401 | 403 | 429),
                    "{}: {refused} {text}",
                    post.path
                );
            }
            Door::Person(..) => {}
        }
    }
}

fn check_headers(what: &str, headers: &HeaderMap, secure: bool) {
    let text = |name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let policy = text("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(text(name), value, "{what}: {name}");
    }
    assert!(text("permissions-policy").contains("camera=()"), "{what}");
    assert_eq!(
        !text("strict-transport-security").is_empty(),
        secure,
        "{what}"
    );
}

/// Pages, the API, feeds, files, errors of all kinds, and what the guard refuses.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn every_answer_protects_its_reader_and_reading_changes_nothing(pool: PgPool) {
    let config = format!("public_url = \"https://speed.example\"\n{CONFIG}");
    let app = TestApp::start_with(&pool, &config).await;
    let admin = insert_token(&pool, "admin", Role::Admin).await;
    let client = client();
    let mut seen = BTreeSet::new();
    let mut paths = readings();
    paths.extend(["/nowhere", "/api/nowhere", "/a%00b", "/search?q=%ff"].map(str::to_owned));
    for path in &paths {
        let request = client
            .get(format!("{}{path}", app.address))
            .bearer_auth(&admin);
        let response = request.send().await.unwrap();
        assert_ne!(response.status(), 500, "{path}");
        seen.insert(response.status().as_u16());
        check_headers(path, response.headers(), true);
    }
    let address = format!("{}/queue", app.address);
    let first = client.get(&address).send().await.unwrap();
    let tag = first.headers()["etag"].clone();
    let same = client
        .get(&address)
        .header("if-none-match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), 304);
    check_headers("304", same.headers(), true);
    for post in POSTS {
        let response = request(&app, post, post.path).send().await.unwrap();
        seen.insert(response.status().as_u16());
        check_headers(post.path, response.headers(), true);
    }
    let many = client
        .post(format!("{}/api/worker/v1/claim", app.address))
        .body(vec![b' '; 9 << 20]);
    if let Ok(response) = many.send().await {
        check_headers("too large", response.headers(), true);
    }
    for expected in [200, 400, 401, 403, 404, 426] {
        assert!(
            seen.contains(&expected),
            "no answer was {expected}: {seen:?}"
        );
    }
    assert!(audit(&pool).await.is_empty(), "reading has left a line");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn reading_can_need_a_sign_in(pool: PgPool) {
    let app = TestApp::start_with(&pool, &format!("reading = \"signed-in\"\n{CONFIG}")).await;
    let viewer = insert_token(&pool, "viewer", Role::Viewer).await;
    let client = client();
    let open = [
        "/health",
        "/assets/1",
        "/sign-in",
        "/sign-in/1",
        "/sign-in/1/back",
        "/unsubscribe/1",
    ];
    let mut paths = readings();
    paths.push("/nowhere".to_owned());
    for path in &paths {
        let get = || client.get(format!("{}{path}", app.address));
        let response = get().send().await.unwrap();
        let is_open = open.contains(&path.as_str())
            || path.starts_with("/api/worker/")
            || path.starts_with("/hooks/");
        if is_open {
            assert!(
                !response
                    .text()
                    .await
                    .unwrap()
                    .contains("Reading here needs"),
                "{path}"
            );
            continue;
        }
        assert_eq!(response.status(), 401, "{path}");
        assert!(
            response.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic ")
        );
        check_headers(path, response.headers(), false);
        let page = get()
            .header("accept", "text/html,*/*")
            .send()
            .await
            .unwrap();
        let for_programs = path.starts_with("/api/") || path.starts_with("/result/");
        assert_eq!(
            page.status(),
            if for_programs { 401 } else { 303 },
            "{path}"
        );
        if !for_programs {
            let to = page.headers()["location"].to_str().unwrap().to_owned();
            assert!(to.starts_with("/sign-in?to=%2F"), "{path}: {to}");
        }
        let wrong = get().header("accept", "text/html").bearer_auth("wrong");
        assert!(
            matches!(wrong.send().await.unwrap().status().as_u16(), 401 | 429),
            "{path}"
        );
        for signed in [
            get().bearer_auth(&viewer),
            get().basic_auth("reader", Some(&viewer)),
        ] {
            let response = signed.send().await.unwrap();
            assert!(
                !matches!(response.status().as_u16(), 401 | 303),
                "{path}: {}",
                response.status()
            );
            let kept = response.headers().get("cache-control");
            let kept = kept.map_or("", |value| value.to_str().unwrap());
            assert!(
                kept.contains("private") || kept.contains("no-store"),
                "{path}: {kept}"
            );
        }
    }
    let session = cookie(&app, &viewer).await;
    let home = client
        .get(format!("{}/", app.address))
        .header("cookie", session);
    assert_eq!(home.send().await.unwrap().status(), 200);
}

/// Logs, raw files, builds and bundles: by their names only, as what they are, and in pieces.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn files_are_what_they_say_and_nothing_else_is_reached(pool: PgPool) {
    let (app, _) = tour::start(&pool).await;
    let client = client();
    let get = |path: &str| client.get(format!("{}{path}", app.address));
    for (path, kind, shown) in [
        (
            "/api/v1/runs/1/pyperf",
            "application/json",
            "inline; filename=\"run-1.json\"",
        ),
        (
            "/api/v1/jobs/1/log",
            "text/plain; charset=utf-8",
            "inline; filename=\"job-1.log\"",
        ),
        (
            "/runs/1/reproduce/nbody.tar.gz",
            "application/gzip",
            "attachment; filename=",
        ),
    ] {
        let whole = get(path).send().await.unwrap();
        let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind);
        assert!(header("content-disposition").starts_with(shown), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let whole = whole.bytes().await.unwrap();
        let piece = get(path)
            .header("range", "bytes=0-3")
            .header("accept-encoding", "gzip");
        let piece = piece.send().await.unwrap();
        if whole.is_empty() {
            assert_eq!(piece.status(), 416, "{path}");
            continue;
        }
        assert_eq!(piece.status(), 206, "{path}");
        let range = piece.headers()["content-range"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(range, format!("bytes 0-3/{}", whole.len()));
        assert_ne!(
            piece
                .headers()
                .get("content-encoding")
                .map(|one| one.as_bytes()),
            Some(&b"gzip"[..])
        );
        assert_eq!(piece.bytes().await.unwrap(), whole[..4], "{path}");
    }
    for path in [
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/api/v1/runs/..%2f1/pyperf",
        "/api/v1/jobs/1%00/log",
        "/runs/1/reproduce/..%2f..%2fetc%2fpasswd.tar.gz",
        "/api/worker/v1/artefacts/..%2f..%2fpostgres%2fPG_VERSION",
        "/api/worker/v1/artefacts/....//....//x",
    ] {
        // As it stands: a client would take the dots out itself.
        let answer = raw(&app, path).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(
            matches!(status.as_str(), "400" | "404" | "426"),
            "{path}: {answer}"
        );
        assert!(!answer.contains("root:"), "{path}");
    }
}

/// The answer to a request whose path is sent as it is.
async fn raw(app: &TestApp, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let place = app.address.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(place).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
