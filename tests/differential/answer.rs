//! Asking a server all requests of a script, one after the other.
use super::script::Request;
use crate::common::{Client, Limpet, Response};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Long enough for a busy machine; a server that hangs does not hold the test for minutes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came for one request.
#[derive(Default)]
pub struct Answer {
    /// Those of status 1xx, then the one that counts.
    pub responses: Vec<Response>,
    /// Why there are no more, or what came besides.
    pub end: String,
}

impl Answer {
    /// 0 where the connection was closed without a word.
    pub fn status(&self) -> u16 {
        self.responses.last().map_or(0, |response| response.status)
    }
}

pub fn ask_all(server: &Limpet, requests: &[Request]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for section in requests.chunk_by(|a, b| a.section == b.section) {
        let mut client = None;
        let mut open = Vec::new();
        for request in section {
            let kept = client.take().filter(|_| request.section.kept).map(Ok);
            let own = kept.unwrap_or_else(|| connect(server, &request.section.address));
            let mut own = match own {
                Ok(own) => own,
                Err(error) => {
                    answers.push(Answer { end: error.to_string(), ..Answer::default() });
                    continue;
                }
            };
            let _ = own.try_send(&request.bytes);
            if request.open {
                own.wait_first_byte();
                open.push((answers.len(), request, own));
                answers.push(Answer::default());
                continue;
            }
            let answer = read_answer(&mut own, request);
            client = answer.end.is_empty().then_some(own);
            answers.push(answer);
        }
        for (at, request, mut client) in open {
            answers[at] = read_answer(&mut client, request);
        }
    }
    answers
}

fn connect(server: &Limpet, address: &str) -> io::Result<Client> {
    let client = match address.strip_prefix("unix:") {
        Some(file) => Client::connect_unix(&server.place.path(file)),
        None => {
            let (host, port) = address.rsplit_once(':').unwrap_or(("127.0.0.1", address));
            let port = server.port(port.parse().map_err(io::Error::other)?);
            Client::try_connect((host.trim_matches(['[', ']']), port))?
        }
    };
    client.limit_reads(PATIENCE);
    Ok(client)
}

fn read_answer(client: &mut Client, request: &Request) -> Answer {
    let mut answer = Answer::default();
    loop {
        match client.try_response(request.is_head()) {
            Ok(response) => {
                let interim = response.status < 200 && response.status != 101;
                answer.responses.push(response);
                if interim {
                    continue;
                }
            }
            Err(error) => answer.end = format!("({})", reason(&error)),
        }
        break;
    }
    let closes = |response: &Response| response.header("connection") == "close";
    if answer.end.is_empty() && answer.responses.last().is_some_and(closes) {
        answer.end = match client.try_rest() {
            Ok(rest) if rest.is_empty() => "(closed)".into(),
            Ok(rest) => format!("(closed after {:?})", String::from_utf8_lossy(&rest)),
            Err(error) => format!("({})", reason(&error)),
        };
    }
    answer
}

/// A reset is an end like any other: it depends on what the client still had to send.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof if error.to_string().ends_with("after \"\"") => "closed".into(),
        ErrorKind::ConnectionReset => "closed".into(),
        _ => error.to_string(),
    }
}
