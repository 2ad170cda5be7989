//! Every address of the service, read from its route tables; and for each that changes something, how to use it and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::role::Role;

/// Who may use an address that changes something, and what proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// People with this role or more; it leaves this action in the audit log.
    Person(Role, Action),
    /// Whoever signs in or out here: the test of sessions knows how.
    SignIn,
    /// Whoever has the link of a mail.
    Link,
    /// A forge that signs what it sends: the tests of hooks know how.
    Forge,
    /// A host's worker, with its own token.
    Worker,
    /// A program that sends results, with an importer's token; the tests of imports know how.
    Importer,
}

/// An address that changes something.
#[derive(Debug, Clone, Copy)]
pub struct Post {
    /// Its method and route.
    pub route: (&'static str, &'static str),
    /// The path with real things in place of its parameters; `SESSION`, `MESSAGE`, `DELIVERY` and `LINK` are filled by the test.
    pub path: &'static str,
    /// What is sent: a form's text, or JSON.
    pub body: &'static str,
    /// Who may.
    pub door: Door,
}

const fn form(
    route: &'static str,
    path: &'static str,
    body: &'static str,
    role: Role,
    action: Action,
) -> Post {
    Post {
        route: ("post", route),
        path,
        body,
        door: Door::Person(role, action),
    }
}

const fn other(method: &'static str, route: &'static str, path: &'static str, door: Door) -> Post {
    Post {
        route: (method, route),
        path,
        body: "",
        door,
    }
}

/// The commit that the test annotates.
const COMMIT: &str = "/commits/0000000000000000000000000000000000000004/annotations";

/// All of them, in an order in which each finds what it needs.
pub const POSTS: &[Post] = &[
    form(
        "/regressions",
        "/regressions",
        "id=1&action=note&note=hello",
        Role::Triager,
        Action::RegressionDecide,
    ),
    form(
        "/regressions/{id}",
        "/regressions/1",
        "action=note&note=hello",
        Role::Triager,
        Action::RegressionDecide,
    ),
    form(
        "/api/v1/regressions/{id}/actions",
        "/api/v1/regressions/1/actions",
        r#"{"action":"note","note":"hello"}"#,
        Role::Triager,
        Action::RegressionDecide,
    ),
    form(
        "/commits/{hash}/annotations",
        COMMIT,
        "message=hello",
        Role::Triager,
        Action::AnnotationAdd,
    ),
    form(
        "/hosts/{name}/annotations",
        "/hosts/lab-1/annotations",
        "message=hello",
        Role::Triager,
        Action::AnnotationAdd,
    ),
    form(
        "/annotations/{id}/remove",
        "/annotations/1/remove",
        "",
        Role::Triager,
        Action::AnnotationRemove,
    ),
    form(
        "/timeline/queue",
        "/timeline/queue",
        "runtime=cpython-main&host=lab-1&after=5&before=8",
        Role::Triager,
        Action::JobRequest,
    ),
    form(
        "/recompute",
        "/recompute",
        "penalty=3",
        Role::Triager,
        Action::RecomputeAsk,
    ),
    form(
        "/bisections",
        "/bisections",
        "runtime=cpython-main&benchmark=nbody&good=0000000000000000000000000000000000000002&bad=0000000000000000000000000000000000000007",
        Role::Triager,
        Action::BisectionOpen,
    ),
    form(
        "/bisections/{id}/cancel",
        "/bisections/1/cancel",
        "",
        Role::Triager,
        Action::BisectionCancel,
    ),
    form(
        "/tries",
        "/tries",
        "repository=cpython&head=topic",
        Role::Viewer,
        Action::TryOpen,
    ),
    form(
        "/tries/{id}/approve",
        "/tries/2/approve",
        "head=0000000000000000000000000000000000000004",
        Role::Triager,
        Action::TryApprove,
    ),
    form(
        "/tries/{id}/cancel",
        "/tries/4/cancel",
        "",
        Role::Viewer,
        Action::TryCancel,
    ),
    form(
        "/api/v1/tries",
        "/api/v1/tries",
        r#"{"repository":"cpython","head":"topic"}"#,
        Role::Viewer,
        Action::TryOpen,
    ),
    form(
        "/api/v1/tries/{id}/approve",
        "/api/v1/tries/3/approve",
        r#"{"head":"0000000000000000000000000000000000000004"}"#,
        Role::Triager,
        Action::TryApprove,
    ),
    other(
        "delete",
        "/api/v1/tries/{id}",
        "/api/v1/tries/5",
        Door::Person(Role::Viewer, Action::TryCancel),
    ),
    form(
        "/api/v1/deliveries/{id}/replay",
        "/api/v1/deliveries/DELIVERY/replay",
        "{}",
        Role::Operator,
        Action::HookReplay,
    ),
    form(
        "/subscriptions",
        "/subscriptions",
        "name=mine&channel=mail&address=a%40example.org",
        Role::Viewer,
        Action::SubscriptionAdd,
    ),
    form(
        "/subscriptions/{id}/remove",
        "/subscriptions/1/remove",
        "",
        Role::Viewer,
        Action::SubscriptionRemove,
    ),
    form(
        "/outbox/{id}/send-again",
        "/outbox/MESSAGE/send-again",
        "",
        Role::Triager,
        Action::OutboxSendAgain,
    ),
    form(
        "/tokens",
        "/tokens",
        "name=laptop&rights=viewer&expires=30d",
        Role::Viewer,
        Action::TokenAdd,
    ),
    form(
        "/tokens/{name}/revoke",
        "/tokens/laptop/revoke",
        "",
        Role::Viewer,
        Action::TokenRevoke,
    ),
    form(
        "/sessions/{id}/end",
        "/sessions/SESSION/end",
        "",
        Role::Viewer,
        Action::SessionEnd,
    ),
    other("post", "/sign-in", "/sign-in", Door::SignIn),
    other("post", "/sign-out", "/sign-out", Door::SignIn),
    other(
        "post",
        "/hooks/{forge}/{repository}",
        "/hooks/github/cpython",
        Door::Forge,
    ),
    form(
        "/deliveries/{id}/replay",
        "/deliveries/DELIVERY/replay",
        "",
        Role::Operator,
        Action::HookReplay,
    ),
    other(
        "post",
        "/unsubscribe/{token}",
        "/unsubscribe/LINK",
        Door::Link,
    ),
    other(
        "post",
        "/api/v1/results",
        "/api/v1/results?runtime=a&host=b",
        Door::Importer,
    ),
    other(
        "post",
        "/result/add/json",
        "/result/add/json",
        Door::Importer,
    ),
    other("post", "/result/add", "/result/add", Door::Importer),
    other(
        "post",
        "/codespeed/{token}/result/add/json",
        "/codespeed/wrong/result/add/json",
        Door::Importer,
    ),
    other(
        "post",
        "/codespeed/{token}/result/add",
        "/codespeed/wrong/result/add",
        Door::Importer,
    ),
    other(
        "post",
        "/db_{db}/v4/{suite}/submitRun",
        "/db_default/v4/nts/submitRun",
        Door::Importer,
    ),
    other(
        "post",
        "/db_{db}/submitRun",
        "/db_default/submitRun",
        Door::Importer,
    ),
    other(
        "post",
        "/lnt/{token}/db_{db}/v4/{suite}/submitRun",
        "/lnt/wrong/db_default/v4/nts/submitRun",
        Door::Importer,
    ),
    other(
        "post",
        "/lnt/{token}/db_{db}/submitRun",
        "/lnt/wrong/db_default/submitRun",
        Door::Importer,
    ),
    other(
        "post",
        "/api/db_{db}/v4/{suite}/runs",
        "/api/db_default/v4/nts/runs",
        Door::Importer,
    ),
    other(
        "post",
        "/lnt/{token}/api/db_{db}/v4/{suite}/runs",
        "/lnt/wrong/api/db_default/v4/nts/runs",
        Door::Importer,
    ),
    other("post", "/v0/run", "/v0/run", Door::Importer),
    other(
        "post",
        "/v0/projects/{project}/reports",
        "/v0/projects/a/reports",
        Door::Importer,
    ),
    other(
        "post",
        "/api/worker/v1/register",
        "/api/worker/v1/register",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/claim",
        "/api/worker/v1/claim",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/heartbeat",
        "/api/worker/v1/jobs/1/heartbeat",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/failure",
        "/api/worker/v1/jobs/1/failure",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/release",
        "/api/worker/v1/jobs/1/release",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/build",
        "/api/worker/v1/jobs/1/build",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/log",
        "/api/worker/v1/jobs/1/log",
        Door::Worker,
    ),
    other(
        "post",
        "/api/worker/v1/jobs/{job}/run",
        "/api/worker/v1/jobs/1/run",
        Door::Worker,
    ),
    other(
        "put",
        "/api/worker/v1/sources/{sha256}",
        "/api/worker/v1/sources/1",
        Door::Worker,
    ),
    other(
        "put",
        "/api/worker/v1/artefacts/{sha256}",
        "/api/worker/v1/artefacts/1",
        Door::Worker,
    ),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => rust_files(&path),
        false => vec![path],
    };
    paths.flat_map(of).collect()
}

/// The text between the first two quotes.
fn quoted(text: &str) -> &str {
    text.split('"').nth(1).unwrap_or_default()
}

/// `(method, route)` of every `.route(…)` in the sources, with the scope or resource that it stands in.
pub fn routes() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let mut all = BTreeSet::new();
    for path in rust_files(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let scope = code.split("web::scope(").nth(1).map_or("", quoted);
        let mut done = 0;
        while let Some(found) = code[done..].find(".route(") {
            let start = done + found + ".route(".len();
            let call = &code[start..];
            let Some(end) = call.find(".to(") else { break };
            let (head, before) = (&call[..end], &code[..start]);
            let place = if head.contains('"') {
                quoted(head)
            } else {
                quoted(before.rsplit("web::resource(").next().unwrap())
            };
            let method = head
                .trim_end_matches("()")
                .rsplit([' ', ':', ','])
                .next()
                .unwrap();
            let in_scope = before.contains("web::scope(");
            let scope = if in_scope { scope } else { "" };
            all.insert((method.trim().to_owned(), format!("{scope}{place}")));
            done = start;
        }
    }
    let read = |(_, route): &(String, String)| route.starts_with('/');
    assert!(
        all.len() > 80 && all.iter().all(read),
        "write routes as texts, for this to read them: {all:?}"
    );
    all
}

/// Every address that is only read, with something in place of its parameters.
pub fn readings() -> Vec<String> {
    let routes = routes();
    let gets = routes.iter().filter(|(method, _)| method == "get");
    let fill = |route: &String| {
        let parts = route.split('/').map(|part| match part.find('{') {
            Some(open) => format!("{}1{}", &part[..open], part.split('}').nth(1).unwrap()),
            None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    };
    gets.map(|(_, route)| fill(route)).collect()
}
