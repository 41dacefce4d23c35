//! Callers that send as a load tool can't: slowly, or in pieces of a size of their own.
//! `sender ADDRESS --head FILE --body FILE --callers N --each N --piece BYTES [--rate BYTES]`
//!
//! All callers begin at one time, each on a connection of its own. The head is a whole one, with
//! the body's `Content-Length`. Standard output has the milliseconds that each request took, a line
//! each; any answer but 200 or 201 is the end.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// What all callers do.
struct Plan {
    address: String,
    request: Vec<u8>,
    head: usize,
    each: usize,
    piece: usize,
    /// Bytes a second; 0 for as fast as they go.
    rate: f64,
}

fn main() {
    match run() {
        Ok(times) => times
            .iter()
            .for_each(|time| println!("{:.3}", time.as_secs_f64() * 1000.0)),
        Err(error) => {
            eprintln!("sender: {error}");
            exit(1)
        }
    }
}

fn run() -> io::Result<Vec<Duration>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        options.insert(option, value);
    }
    let option = |name: &str| {
        options
            .get(name)
            .ok_or_else(|| io::Error::other(format!("{name} is missing")))
    };
    let number = |name: &str| option(name)?.parse::<usize>().map_err(io::Error::other);
    let mut request = fs::read(option("--head")?)?;
    let head = request.len();
    request.extend(fs::read(option("--body")?)?);
    let rate = if options.contains_key("--rate") {
        number("--rate")? as f64
    } else {
        0.0
    };
    let plan = Arc::new(Plan {
        address,
        request,
        head,
        each: number("--each")?,
        piece: number("--piece")?,
        rate,
    });
    let callers = number("--callers")?;
    let together = Arc::new(Barrier::new(callers));
    let threads: Vec<_> = (0..callers)
        .map(|_| {
            let (plan, together) = (plan.clone(), together.clone());
            thread::spawn(move || plan.call(&together))
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(
            thread
                .join()
                .map_err(|_| io::Error::other("a caller panicked"))??,
        );
    }
    Ok(times)
}

impl Plan {
    fn call(&self, together: &Barrier) -> io::Result<Vec<Duration>> {
        let stream = TcpStream::connect(&self.address);
        // Before the first error, or the others would wait for ever.
        together.wait();
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        (0..self.each).map(|_| self.upload(&mut stream)).collect()
    }

    fn upload(&self, stream: &mut TcpStream) -> io::Result<Duration> {
        let start = Instant::now();
        let (head, body) = self.request.split_at(self.head);
        stream.write_all(head)?;
        for (number, piece) in body.chunks(self.piece).enumerate() {
            if self.rate > 0.0 {
                let due = Duration::from_secs_f64((number * self.piece) as f64 / self.rate);
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
            stream.write_all(piece)?;
        }
        answered(stream)?;
        Ok(start.elapsed())
    }
}

/// Reads one answer whole.
fn answered(stream: &mut TcpStream) -> io::Result<()> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            if !["http/1.1 200", "http/1.1 201"]
                .iter()
                .any(|ok| head.starts_with(ok))
            {
                return Err(io::Error::other(text));
            }
            let length = head.lines().find_map(|line| {
                line.strip_prefix("content-length:")?
                    .trim()
                    .parse::<usize>()
                    .ok()
            });
            if length.is_none_or(|length| body.len() >= length) {
                return Ok(());
            }
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
