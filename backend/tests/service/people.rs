//! People: signing in at forges, their tokens, and what the audit log says of them.

use reqwest::Url;
use speedwell_backend::domain::regression::Transition;
use speedwell_backend::domain::role::Role;
use speedwell_backend::domain::telling::SubscriptionChannel;
use sqlx::PgPool;

use crate::support::oauth::{CLIENT, OAuth, Words};
use crate::support::regression::{self, insert};
use crate::support::smtp::SmtpServer;
use crate::support::triage::{insert_token, submit};
use crate::support::{CONFIG, TestApp, telling};

fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.build().unwrap()
}

/// A service that knows a forge.
async fn start(pool: &PgPool, oauth: &OAuth, kind: &str, people: &str) -> TestApp {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{}\n", CLIENT.1)).unwrap();
    let sign_in = format!(
        "[[sign_in]]\nname = \"{kind}\"\nkind = \"{kind}\"\nclient_id = \"{}\"\nclient_secret_file = \"{}\"\nweb = \"{}\"\n{people}\n",
        CLIENT.0,
        folder.keep().join("secret").display(),
        oauth.server.uri(),
    );
    let config = format!("public_url = \"http://speed.test\"\n{CONFIG}{sign_in}");
    TestApp::start_with(pool, &config).await
}

/// What a step of a browser led to: status, cookies as `name=value`, the address of the next step, and the text.
struct Step {
    status: u16,
    cookies: Vec<String>,
    location: String,
    text: String,
}

async fn step(url: &str, cookie: &str) -> Step {
    let request = client().get(url).header("cookie", cookie.to_owned());
    let response = request.send().await.unwrap();
    let cookies = response.headers().get_all("set-cookie").iter();
    let cookies = cookies.map(|value| {
        value
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    });
    let location = response.headers().get("location");
    Step {
        status: response.status().as_u16(),
        cookies: cookies.collect(),
        location: location.map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
        text: response.text().await.unwrap(),
    }
}

impl Step {
    fn cookie(&self, name: &str) -> Option<&String> {
        self.cookies
            .iter()
            .find(|one| one.starts_with(&format!("{name}=")))
    }
}

/// Away to the forge and until the browser is sent back: the cookie of the way, and the address that it is sent to.
async fn go(app: &TestApp, kind: &str, to: &str) -> (String, String) {
    let away = step(&format!("{}/sign-in/{kind}?to={to}", app.address), "").await;
    assert_eq!(away.status, 303, "{}", away.text);
    let allowed = step(&away.location, "").await;
    let back = allowed.location.strip_prefix("http://speed.test").unwrap();
    let cookie = away.cookie("speedwell-away").unwrap().clone();
    (cookie, format!("{}{back}", app.address))
}

async fn who(app: &TestApp, cookie: &str) -> String {
    let page = step(&format!("{}/sign-in", app.address), cookie).await.text;
    let name = page.split("Signed in as ").nth(1).unwrap_or_default();
    let role = page
        .split("The role is <strong>")
        .nth(1)
        .unwrap_or_default();
    format!(
        "{} {}",
        name.split('<').next().unwrap(),
        role.split('<').next().unwrap()
    )
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn people_sign_in_at_each_forge(pool: PgPool) {
    for (kind, words, organisation) in [
        ("github", Words::Github, "python"),
        ("gitlab", Words::Gitlab, "python/core"),
        ("forgejo", Words::Forgejo, "python"),
    ] {
        // The organisation that counts is on the second page.
        let mut groups: Vec<String> = (0..60).map(|number| format!("group-{number}")).collect();
        groups.push(organisation.to_owned());
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let oauth = OAuth::start(words, "Ada", &groups).await;
        let people = format!("[sign_in.organisations]\n\"{organisation}\" = \"triager\"");
        let app = start(&pool, &oauth, kind, &people).await;
        let (_, page) = app.get("/sign-in").await;
        assert!(page.contains(&format!("Sign in with {kind}")), "{page}");
        let (away, back) = go(&app, kind, "/queue%3Fa=1").await;
        let come = step(&back, &away).await;
        assert_eq!(
            (come.status, come.location.as_str()),
            (303, "/queue?a=1"),
            "{}",
            come.text
        );
        let session = come.cookie("speedwell-session").unwrap();
        assert_eq!(come.cookie("speedwell-away").unwrap(), "speedwell-away=");
        assert_eq!(who(&app, session).await, format!("{kind}:Ada triager"));
        assert_eq!(oauth.unused(), 0, "the code was used");
        // The same way back a second time: the forge's code is used up.
        let again = step(&back, &away).await;
        assert!(again.status == 401 && again.cookie("speedwell-session").is_none());
        assert!(
            again.text.contains("did not say who you are"),
            "{}",
            again.text
        );
    }
    let log: Vec<String> = sqlx::query_scalar(
        "SELECT actor || ' ' || action || ' ' || (details->>'by') FROM audit ORDER BY id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(log[0], "github:Ada session.begin github");
    assert_eq!(log.len(), 3);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_way_back_that_was_not_begun_here_leads_nowhere(pool: PgPool) {
    let oauth = OAuth::start(Words::Github, "eve", &[]).await;
    let app = start(&pool, &oauth, "github", "[sign_in.users]\nada = \"admin\"").await;
    let (away, back) = go(&app, "github", "//evil.example").await;
    // Somebody else's browser is sent the way back, or one with another way's cookie, or with a changed state.
    let (other, _) = go(&app, "github", "/").await;
    for (address, cookie) in [
        (back.clone(), ""),
        (back.clone(), other.as_str()),
        (back.clone(), "speedwell-away=x"),
        (back.replace("state=", "state=0"), away.as_str()),
    ] {
        let refused = step(&address, cookie).await;
        assert!(refused.status == 401 && refused.cookie("speedwell-session").is_none());
        assert!(refused.text.contains("begin anew"), "{}", refused.text);
    }
    // No: the forge says why, in words that are only words.
    let state = Url::parse(&back).unwrap();
    let state = state
        .query_pairs()
        .find(|(key, _)| key == "state")
        .unwrap()
        .1
        .into_owned();
    let no = format!(
        "{}/sign-in/github/back?error=access_denied&error_description=%3Cb%3Eno&state={state}",
        app.address
    );
    let refused = step(&no, &away).await;
    assert!(
        refused.text.contains("github says: &#60;b&#62;no"),
        "{}",
        refused.text
    );
    // The right way, but nobody with a role.
    let refused = step(&back, &away).await;
    assert!(refused.status == 401 && refused.cookie("speedwell-session").is_none());
    assert!(
        refused.text.contains("github:eve has no role here"),
        "{}",
        refused.text
    );
    assert_eq!(
        step(&format!("{}/sign-in/gitlab", app.address), "")
            .await
            .status,
        404
    );
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM session")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(sessions, 0);
    assert!(
        !app.get("/sign-in").await.1.contains(CLIENT.1),
        "the secret is shown"
    );
}

/// The token on the page that shows it once.
fn shown(page: &str) -> String {
    let value = page.split("id=\"made\">").nth(1).unwrap();
    value.split('<').next().unwrap().to_owned()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn people_make_and_revoke_their_own_tokens_and_admins_all(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let root = insert_token(&pool, "root", Role::Admin).await;
    let make = |fields: &'static str| {
        let pairs = fields.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.collect::<Vec<_>>()
    };
    for (fields, status, words) in [
        (
            "name=x&rights=operator&expires=30d",
            403,
            "gives no higher one",
        ),
        (
            "name=x&rights=importer&expires=30d",
            403,
            "made by an admin",
        ),
        (
            "name=x&rights=viewer&expires=30d&owner=root",
            403,
            "made by an admin",
        ),
        ("name=x&rights=viewer&expires=never", 400, "expires"),
        ("name=x&rights=viewer&expires=400d", 400, "expires"),
        (
            "name=root&rights=viewer&expires=30d",
            400,
            "a token of this name",
        ),
        ("name=a b&rights=viewer&expires=30d", 400, "name"),
        (
            "name=x&rights=viewer&expires=30d&runtimes=[",
            400,
            "runtimes",
        ),
        ("name=x&rights=god&expires=30d", 400, "rights"),
    ] {
        let (answer, page) = submit(&app, &ada, "/tokens", &make(fields)).await;
        assert!(
            answer == status && page.contains(words),
            "{fields}: {answer} {page}"
        );
    }
    let (_, page) = submit(
        &app,
        &ada,
        "/tokens",
        &make("name=laptop&rights=viewer&expires=30d&runtimes=pypy*"),
    )
    .await;
    let laptop = shown(&page);
    assert!(page.contains("runtimes pypy*; hosts *"), "{page}");
    let (_, page) = submit(
        &app,
        &root,
        "/tokens",
        &make("name=uploads&rights=importer&expires=never&hosts=lab-1"),
    )
    .await;
    let uploads = shown(&page);
    let (again, _) = submit(
        &app,
        &root,
        "/tokens",
        &make("name=uploads&rights=importer&expires=never"),
    )
    .await;
    assert_eq!(again, 400, "loading the page anew makes no second one");
    // What each sees.
    let list = |token: String| {
        let request = app.client.get(format!("{}/tokens", app.address));
        async move {
            request
                .bearer_auth(token)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap()
        }
    };
    let own = list(ada.clone()).await;
    assert!(
        own.contains("laptop") && !own.contains("uploads") && !own.contains(&laptop),
        "{own}"
    );
    let all = list(root.clone()).await;
    assert!(
        all.contains("laptop") && all.contains("uploads") && all.contains("importer"),
        "{all}"
    );
    assert!(
        list(laptop.clone()).await.contains("ada, with the role"),
        "it acts as its owner"
    );
    // A program's token has no part in this, and one that reaches little makes no others.
    assert!(
        list(uploads.clone())
            .await
            .contains("this needs the role viewer")
    );
    let (limited, page) = submit(
        &app,
        &laptop,
        "/tokens",
        &make("name=more&rights=viewer&expires=30d"),
    )
    .await;
    assert!(limited == 403 && page.contains("makes no others"), "{page}");
    // Revoking.
    assert_eq!(
        submit(&app, &ada, "/tokens/uploads/revoke", &[]).await.0,
        404
    );
    assert_eq!(
        submit(&app, &root, "/tokens/laptop/revoke", &[]).await.0,
        200
    );
    assert_eq!(
        submit(&app, &root, "/tokens/laptop/revoke", &[]).await.0,
        409
    );
    assert!(list(laptop).await.contains("unknown, or was taken back"));
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM token WHERE sha256 IN ($1, $2)")
        .bind(&uploads)
        .bind(&ada)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(stored, 0, "only hashes are kept");
    // The log, for operators.
    let audit = |token: String, query: &'static str| {
        let request = app.client.get(format!("{}/audit{query}", app.address));
        async move {
            request
                .bearer_auth(token)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap()
        }
    };
    assert!(
        audit(ada.clone(), "")
            .await
            .contains("this needs the role operator")
    );
    let page = audit(root.clone(), "").await;
    assert!(
        page.contains("token laptop") && page.contains("token uploads"),
        "{page}"
    );
    assert!(!page.contains(&uploads), "a token is in the log");
    let page = audit(root.clone(), "?actor=ada&action=token").await;
    assert!(
        page.contains("token laptop") && !page.contains("token uploads"),
        "{page}"
    );
    let page = audit(root.clone(), "?subject=token%20up").await;
    assert!(
        page.contains("token uploads") && !page.contains("token laptop"),
        "{page}"
    );
    assert!(
        audit(root, "?actor=%3Cscript%3E")
            .await
            .contains("Nothing like this")
    );
}

/// Who may triage, but only for some runtimes, asks for no runs of others.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_scope_holds_for_what_is_asked(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    sqlx::query("UPDATE token SET runtimes = '{pypy*}'")
        .execute(&pool)
        .await
        .unwrap();
    let fields = [
        ("runtime", "cpython-main"),
        ("host", "lab-1"),
        ("after", "1"),
        ("before", "9"),
    ];
    let (status, page) = submit(&app, &ada, "/timeline/queue", &fields).await;
    assert!(
        status == 403 && page.contains("does not reach runtime cpython-main on host lab-1"),
        "{page}"
    );
    let fields = [
        ("runtime", "pypy3.11"),
        ("host", "lab-1"),
        ("after", "1"),
        ("before", "9"),
    ];
    assert_eq!(submit(&app, &ada, "/timeline/queue", &fields).await.0, 404);
}

/// A webhook that points at this machine's own neighbourhood is given up at once, with why; nothing was connected to.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn webhooks_go_to_public_addresses_only(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = telling::start(&pool, &smtp, "").await;
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for (name, url) in [
        (
            "metadata",
            "http://169.254.169.254/latest/meta-data".to_owned(),
        ),
        // Only 127.0.0.1 is allowed by this configuration.
        ("neighbour", format!("http://127.0.0.2:{port}/hook")),
        ("mapped", format!("http://[::ffff:127.0.0.2]:{port}/hook")),
    ] {
        let new = telling::subscription(name, SubscriptionChannel::Webhook, &url);
        telling::subscribe(&pool, &new, Some("key")).await;
    }
    let id = insert(&pool, &rows, 2, 3).await;
    regression::go(&pool, id, &[Transition::Confirm]).await;
    let now = telling::soon();
    telling::notify(&app.context, now).await;
    telling::deliver(&app.context, now).await;
    let words: Vec<String> = sqlx::query_scalar(
        "SELECT last_error FROM outbox WHERE channel = 'webhook' AND state = 'dead'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(words.len(), 3, "{words:?}");
    assert!(
        words
            .iter()
            .all(|one| one.contains("not a public one") && !one.contains("hook")),
        "{words:?}"
    );
    assert!(listener.accept().is_err(), "somebody has connected");
}
