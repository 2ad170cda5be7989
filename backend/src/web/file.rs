//! Answers that are files: their name, what they are, and pieces of them.

use actix_web::http::header::{
    self, ContentEncoding, ContentRange, ContentRangeSpec, ETag, EntityTag, Header as _, IfRange,
    Range,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::artefacts::sha256_hex;

/// Whether a browser shows a file or stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// In a window, where it can.
    Inline,
    /// As a download.
    Attachment,
}

/// A file to be sent.
#[derive(Debug, Clone)]
pub(super) struct File<'a> {
    /// Its name for who stores it; whatever is no letter, digit, `.`, `-` or `_` becomes `_`.
    pub(super) name: &'a str,
    /// Its content type.
    pub(super) kind: &'static str,
    /// Whether a browser shows it.
    pub(super) shown: Shown,
    /// All of it.
    pub(super) bytes: Bytes,
}

impl File<'_> {
    /// The file, or the piece of it that was asked for (RFC 9110, section 14). Of several pieces none is sent alone, but the whole.
    pub(super) fn answer(self, request: &HttpRequest) -> HttpResponse {
        let total = self.bytes.len() as u64;
        let tag = EntityTag::new_strong(sha256_hex(&self.bytes));
        let asked = Range::parse(request).ok().and_then(|range| match range {
            Range::Bytes(pieces) => match pieces.as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            },
            Range::Unregistered(..) => None,
        });
        // Somebody who has the beginning of another version wants the whole of this one.
        let is_other = request.headers().contains_key(header::IF_RANGE)
            && !matches!(IfRange::parse(request), Ok(IfRange::EntityTag(known)) if known.strong_eq(&tag));
        let asked = asked.filter(|_| !is_other);
        let mut answer = match &asked {
            None => HttpResponse::Ok(),
            Some(piece) if piece.to_satisfiable_range(total).is_some() => {
                HttpResponse::PartialContent()
            }
            Some(_) => HttpResponse::RangeNotSatisfiable(),
        };
        answer
            .content_type(self.kind)
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((
                header::CONTENT_DISPOSITION,
                disposition(self.name, self.shown),
            ))
            .insert_header((header::CACHE_CONTROL, "no-cache"));
        let Some(piece) = asked else {
            return answer.insert_header(ETag(tag)).body(self.bytes);
        };
        // A piece is of the file as it is, not of what compressing it would give.
        answer.insert_header(ContentEncoding::Identity);
        let Some((first, last)) = piece.to_satisfiable_range(total) else {
            return answer.insert_header(range_of(None, total)).finish();
        };
        answer
            .insert_header(ETag(tag))
            .insert_header(range_of(Some((first, last)), total))
            .body(part(&self.bytes, first, last))
    }
}

fn range_of(range: Option<(u64, u64)>, total: u64) -> ContentRange {
    ContentRange(ContentRangeSpec::Bytes {
        range,
        instance_length: Some(total),
    })
}

/// The bytes from `first` to `last`, both with them.
fn part(bytes: &Bytes, first: u64, last: u64) -> Bytes {
    let place = |number: u64| {
        usize::try_from(number)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    bytes.slice(place(first)..place(last.saturating_add(1)))
}

/// The header that names a file, with nothing in it that could end it.
fn disposition(name: &str, shown: Shown) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(safe).take(120).collect();
    let name = name.trim_start_matches('.');
    let how = match shown {
        Shown::Inline => "inline",
        Shown::Attachment => "attachment",
    };
    format!("{how}; filename=\"{name}\"")
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    async fn ask(headers: &[(&'static str, &str)]) -> (u16, String, String) {
        let mut request = TestRequest::get();
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let file = File {
            name: "../a\"\r\nb.txt",
            kind: "text/plain; charset=utf-8",
            shown: Shown::Attachment,
            bytes: Bytes::from_static(b"0123456789"),
        };
        let answer = file.answer(&request.to_http_request());
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        assert_eq!(
            header("content-disposition"),
            "attachment; filename=\"_a___b.txt\""
        );
        assert_eq!(header("accept-ranges"), "bytes");
        let (status, range) = (answer.status().as_u16(), header("content-range"));
        let body = to_bytes(answer.into_body()).await.unwrap();
        (status, range, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn pieces_are_sent() {
        let piece =
            |status: u16, range: &str, text: &str| (status, range.to_owned(), text.to_owned());
        assert_eq!(ask(&[]).await, piece(200, "", "0123456789"));
        for (range, expected) in [
            ("bytes=0-3", piece(206, "bytes 0-3/10", "0123")),
            ("bytes=8-", piece(206, "bytes 8-9/10", "89")),
            ("bytes=-2", piece(206, "bytes 8-9/10", "89")),
            ("bytes=5-99", piece(206, "bytes 5-9/10", "56789")),
            ("bytes=10-", piece(416, "bytes */10", "")),
            (
                "bytes=18446744073709551615-18446744073709551615",
                piece(416, "bytes */10", ""),
            ),
            ("bytes=0-1,3-4", piece(200, "", "0123456789")),
            ("bytes=3-1", piece(200, "", "0123456789")),
            ("lines=0-3", piece(200, "", "0123456789")),
        ] {
            let found = ask(&[("range", range)]).await;
            assert!(
                found == expected || (range == "bytes=3-1" && found.0 == 416),
                "{range}: {found:?}"
            );
        }
        let tag = format!("\"{}\"", sha256_hex(b"0123456789"));
        let same = ask(&[("range", "bytes=0-0"), ("if-range", &tag)]).await;
        assert_eq!(same, piece(206, "bytes 0-0/10", "0"));
        let other = ask(&[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await;
        assert_eq!(other, piece(200, "", "0123456789"));
    }
}
