//! Mails: headers, parts, and the way to the SMTP server.

use std::time::Duration;

use anyhow::Context as _;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor};

use super::message::Message;
use crate::domain::telling::Failure;

/// Longest wait for one answer of the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// Content id of the chart in a mail.
pub const CHART: &str = "chart";

/// The envelope of a mail.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// `Speedwell <speedwell@example.org>`.
    pub from: &'a str,
    /// One address.
    pub to: &'a str,
    /// `speedwell.example.org`.
    pub list_id: &'a str,
    /// Left part of the Message-ID: the same for every try, so that receivers drop a mail that came twice.
    pub id: &'a str,
    /// Left part of an id that all mails of one regression refer to, which makes them a thread.
    pub thread: Option<&'a str>,
    /// One-click link that ends these mails.
    pub unsubscribe: Option<&'a str>,
}

/// Builds the mail. `chart`: a PNG that the HTML part shows.
pub fn build(
    message: &Message,
    envelope: &Envelope<'_>,
    chart: Option<Vec<u8>>,
) -> Result<Mail, Failure> {
    let unreadable = |what: &str, value: &str| {
        Failure::permanent(format!("{what}: {value:?} is no mail address"))
    };
    let from: Mailbox = envelope
        .from
        .parse()
        .map_err(|_unreadable| unreadable("mail.from", envelope.from))?;
    let to: Mailbox = envelope
        .to
        .parse()
        .map_err(|_unreadable| unreadable("recipient", envelope.to))?;
    let domain = from.email.domain().to_owned();
    let mut builder = Mail::builder()
        .from(from)
        .to(to)
        .subject(&message.subject)
        .date_now()
        .message_id(Some(format!("<{}@{domain}>", envelope.id)));
    if let Some(thread) = envelope.thread {
        let root = format!("<{thread}@{domain}>");
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    let mut mail = builder
        .multipart(parts(message, chart)?)
        .map_err(|error| Failure::permanent(format!("the mail cannot be made: {error}")))?;
    let mut raw = |name: &'static str, value: String| {
        let name = HeaderName::new_from_ascii_str(name);
        mail.headers_mut().insert_raw(HeaderValue::new(name, value));
    };
    raw("List-Id", format!("Speedwell <{}>", envelope.list_id));
    // No answers from programs that are away on holiday.
    raw("Auto-Submitted", "auto-generated".to_owned());
    raw("Precedence", "list".to_owned());
    if let Some(link) = envelope.unsubscribe {
        raw("List-Unsubscribe", format!("<{link}>"));
        raw(
            "List-Unsubscribe-Post",
            "List-Unsubscribe=One-Click".to_owned(),
        );
    }
    Ok(mail)
}

/// Text, and HTML with its chart, as alternatives.
fn parts(message: &Message, chart: Option<Vec<u8>>) -> Result<MultiPart, Failure> {
    let html = SinglePart::html(message.html.clone());
    let alternatives = MultiPart::alternative().singlepart(SinglePart::plain(message.text.clone()));
    let Some(chart) = chart else {
        return Ok(alternatives.singlepart(html));
    };
    let kind = ContentType::parse("image/png")
        .map_err(|error| Failure::permanent(format!("image/png: {error}")))?;
    let picture = Attachment::new_inline_with_name(CHART.to_owned(), "chart.png".to_owned())
        .body(chart, kind);
    let related = MultiPart::related().singlepart(html).singlepart(picture);
    Ok(alternatives.multipart(related))
}

/// The way to a server.
pub type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Opens the way: `smtp://host:port` (plain), `smtp://host:port?tls=required` or `smtps://host`. `authorities`: certificates in PEM that are
/// believed beside the public ones. No connection is made yet.
pub fn transport(
    url: &str,
    credentials: Option<(String, String)>,
    authorities: Option<&[u8]>,
) -> anyhow::Result<Transport> {
    let mut builder = Transport::from_url(url)?.timeout(Some(PATIENCE));
    if let Some(pem) = authorities {
        let parsed = reqwest::Url::parse(url)?;
        let host = parsed.host_str().context("mail.smtp: no host")?;
        let authorities = Certificate::from_pem(pem)?;
        let parameters = TlsParameters::builder(host.to_owned())
            .add_root_certificate(authorities)
            .build()?;
        builder = builder.tls(match parsed.scheme() {
            "smtps" => Tls::Wrapper(parameters),
            _ => Tls::Required(parameters),
        });
    }
    if let Some((name, password)) = credentials {
        builder = builder.credentials(Credentials::new(name, password));
    }
    Ok(builder.build())
}

/// Answers that are about signing in, and not about the mail (RFC 4954): once the configuration is mended it can go.
const SIGN_IN: [&str; 4] = ["530", "534", "535", "538"];

/// Sends a mail; an answer 5xx to the mail is for ever, everything else may pass.
pub async fn send(transport: &Transport, mail: Mail) -> Result<(), Failure> {
    transport.send(mail).await.map(drop).map_err(failure)
}

fn failure(error: SmtpError) -> Failure {
    use std::error::Error as _;
    let mut words = error.to_string();
    if let Some(cause) = error.source() {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    let is_sign_in = error
        .status()
        .is_some_and(|code| SIGN_IN.contains(&code.to_string().as_str()));
    Failure {
        permanent: error.is_permanent() && !is_sign_in,
        message: format!("SMTP: {}", super::message::one_line(&words, 500)),
        wait_until: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            subject: "[speedwell] ä\r\nBcc: x@example.org".to_owned(),
            text: "text".to_owned(),
            html: "<p>html</p>".to_owned(),
        }
    }

    fn envelope<'a>(to: &'a str) -> Envelope<'a> {
        Envelope {
            from: "Speedwell <s@example.org>",
            to,
            list_id: "speedwell.example.org",
            id: "0123",
            thread: Some("abcd"),
            unsubscribe: Some("https://speed.example/unsubscribe/x"),
        }
    }

    #[test]
    fn no_text_becomes_a_header() {
        let mail = build(&message(), &envelope("ann@example.org"), Some(vec![1, 2])).unwrap();
        let raw = String::from_utf8(mail.formatted()).unwrap();
        assert!(!raw.contains("\nBcc:"), "{raw}");
        assert!(raw.contains("Message-ID: <0123@example.org>"), "{raw}");
        assert!(
            raw.contains("References: <abcd@example.org>")
                && raw.contains("List-Id: Speedwell <speedwell.example.org>")
        );
        assert!(raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"));
    }

    #[test]
    fn an_address_that_is_none_is_given_up() {
        for to in ["", "ann", "ann@example.org\r\nBcc: x@example.org", "a b@c"] {
            let failure = build(&message(), &envelope(to), None).unwrap_err();
            assert!(failure.permanent, "{to:?}");
        }
    }
}
