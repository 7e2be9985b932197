//! Single files over http, against a small server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use gitops_core::http::{HttpError, HttpLimits, get};

/// A server that answers every request with `answer`; its address.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            let headers = reader.lines().map_while(Result::ok);
            let asked = headers.take_while(|line| !line.is_empty());
            assert!(asked.count() > 0, "a request");
            // A client that hangs up is its own affair.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://user:secret@{address}/a.yaml?token=secret")
}

#[test]
fn a_file_is_what_the_server_sends() {
    let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\na: b\n");
    assert_eq!(get(&url, &HttpLimits::default()).unwrap(), "a: b\n");
    let small = HttpLimits {
        bytes: 4,
        ..HttpLimits::default()
    };
    let error = get(&url, &small).unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 4, .. }));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn an_answer_that_is_no_file_has_a_status() {
    let url = serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let error = get(&url, &HttpLimits::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("/a.yaml: status 404 (Not Found)"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn no_answer_is_an_error() {
    let url = serve("nothing like HTTP\r\n\r\n");
    let error = get(&url, &HttpLimits::default()).unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
