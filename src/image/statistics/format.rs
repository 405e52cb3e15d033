// SPDX-License-Identifier: GPL-2.0-or-later
//! Statistics as text for people, as JSON, and as Prometheus reads it.

use super::{BUCKETS, CLASS_NAMES, EVENTS, KIND_NAMES, Operations, Snapshot};
use std::fmt::{self, Display, Write};

/// How statistics are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for a person.
    Text,
    /// One object.
    Json,
    /// Text format 0.0.4.
    Prometheus,
}

impl Snapshot {
    /// As text. `image`: its name.
    pub fn format(&self, format: Format, image: &str) -> String {
        let mut text = String::new();
        let written = match format {
            Format::Text => self.text(&mut text, image),
            Format::Json => self.json(&mut text, image),
            Format::Prometheus => self.prometheus(&mut text, image),
        };
        debug_assert!(written.is_ok(), "a String takes all");
        text
    }

    fn kinds(&self) -> impl Iterator<Item = (&'static str, &Operations)> {
        KIND_NAMES.into_iter().zip(&self.operations)
    }

    fn text(&self, to: &mut String, image: &str) -> fmt::Result {
        let seconds = self.open_ns / 1_000_000_000;
        writeln!(to, "image {image}, open for {seconds} s")?;
        for (name, operations) in self.kinds().filter(|(_, some)| some.submitted > 0) {
            text_of(to, name, operations)?;
        }
        writeln!(
            to,
            "in flight: {}, at most {}",
            self.in_flight(),
            self.most_in_flight
        )?;
        for (event, name, _) in EVENTS {
            if self.count(event) > 0 {
                writeln!(to, "{}: {}", name.replace('_', " "), self.count(event))?;
            }
        }
        Ok(())
    }

    fn json(&self, to: &mut String, image: &str) -> fmt::Result {
        write!(to, "{{\"image\":{},", Quoted(image, Quoting::Json))?;
        write!(to, "\"open_ns\":{},", self.open_ns)?;
        write!(to, "\"in_flight\":{},", self.in_flight())?;
        write!(to, "\"most_in_flight\":{},", self.most_in_flight)?;
        for (event, name, _) in EVENTS {
            write!(to, "\"{name}\":{},", self.count(event))?;
        }
        to.push_str("\"operations\":{");
        for (at, (name, operations)) in self.kinds().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(to, "{comma}\"{name}\":{{")?;
            write!(to, "\"submitted\":{},", operations.submitted)?;
            write!(to, "\"succeeded\":{},", operations.succeeded())?;
            write!(to, "\"bytes\":{},", operations.bytes)?;
            to.push_str("\"failed\":{");
            for (at, (class, count)) in CLASS_NAMES.iter().zip(operations.failed).enumerate() {
                let comma = if at > 0 { "," } else { "" };
                write!(to, "{comma}\"{class}\":{count}")?;
            }
            write!(to, "}},\"latency\":{{\"total_ns\":{},", operations.total_ns)?;
            write!(to, "\"longest_ns\":{},", operations.longest_ns)?;
            let buckets: Vec<String> = operations.buckets.iter().map(u64::to_string).collect();
            write!(to, "\"buckets_log2_us\":[{}]}}}}", buckets.join(","))?;
        }
        to.push_str("}}");
        Ok(())
    }

    fn prometheus(&self, to: &mut String, image: &str) -> fmt::Result {
        let image = Quoted(image, Quoting::Prometheus);
        head(
            to,
            "open_seconds",
            "gauge",
            "Time since the image was opened.",
        )?;
        let open = Seconds(self.open_ns);
        writeln!(to, "blkgluster_open_seconds{{image={image}}} {open}")?;
        head(to, "in_flight", "gauge", "Requests in flight.")?;
        for (kind, operations) in self.kinds() {
            let labels = format!("image={image},operation=\"{kind}\"");
            let count = operations.in_flight();
            writeln!(to, "blkgluster_in_flight{{{labels}}} {count}")?;
        }
        let help = "Most requests in flight at a time.";
        head(to, "in_flight_max", "gauge", help)?;
        let most = self.most_in_flight;
        writeln!(to, "blkgluster_in_flight_max{{image={image}}} {most}")?;
        head(
            to,
            "requests_total",
            "counter",
            "Requests that were accepted.",
        )?;
        for (kind, operations) in self.kinds() {
            let labels = format!("image={image},operation=\"{kind}\"");
            let count = operations.submitted;
            writeln!(to, "blkgluster_requests_total{{{labels}}} {count}")?;
        }
        let help = "Bytes of requests that succeeded.";
        head(to, "bytes_total", "counter", help)?;
        for (kind, operations) in self.kinds() {
            let labels = format!("image={image},operation=\"{kind}\"");
            let bytes = operations.bytes;
            writeln!(to, "blkgluster_bytes_total{{{labels}}} {bytes}")?;
        }
        head(to, "errors_total", "counter", "Requests that failed.")?;
        for (kind, operations) in self.kinds() {
            for (class, count) in CLASS_NAMES.iter().zip(operations.failed) {
                let labels = format!("image={image},operation=\"{kind}\",errno=\"{class}\"");
                writeln!(to, "blkgluster_errors_total{{{labels}}} {count}")?;
            }
        }
        for (event, name, help) in EVENTS {
            let name = format!("{name}_total");
            head(to, &name, "counter", help)?;
            let count = self.count(event);
            writeln!(to, "blkgluster_{name}{{image={image}}} {count}")?;
        }
        let help = "Time from the submission of requests that succeeded to their callback.";
        head(to, "latency_seconds", "histogram", help)?;
        for (kind, operations) in self.kinds() {
            let labels = format!("image={image},operation=\"{kind}\"");
            histogram(to, &labels, operations)?;
        }
        let help = "Longest time from the submission of a request that succeeded to its callback.";
        head(to, "latency_max_seconds", "gauge", help)?;
        for (kind, operations) in self.kinds() {
            let labels = format!("image={image},operation=\"{kind}\"");
            let longest = Seconds(operations.longest_ns);
            writeln!(to, "blkgluster_latency_max_seconds{{{labels}}} {longest}")?;
        }
        Ok(())
    }
}

fn head(to: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(to, "# HELP blkgluster_{name} {help}")?;
    writeln!(to, "# TYPE blkgluster_{name} {kind}")
}

/// Prometheus' buckets count all up to their bound.
fn histogram(to: &mut String, labels: &str, operations: &Operations) -> fmt::Result {
    let name = "blkgluster_latency_seconds";
    let mut so_far = 0;
    for (at, count) in operations.buckets.iter().enumerate() {
        so_far += count;
        if at + 1 < BUCKETS {
            let bound = Seconds(1000 << at);
            writeln!(to, "{name}_bucket{{{labels},le=\"{bound}\"}} {so_far}")?;
        } else {
            writeln!(to, "{name}_bucket{{{labels},le=\"+Inf\"}} {so_far}")?;
        }
    }
    writeln!(
        to,
        "{name}_sum{{{labels}}} {}",
        Seconds(operations.total_ns)
    )?;
    writeln!(to, "{name}_count{{{labels}}} {so_far}")
}

fn text_of(to: &mut String, name: &str, operations: &Operations) -> fmt::Result {
    let succeeded = operations.succeeded();
    write!(to, "{}: {succeeded} succeeded", name.replace('_', " "))?;
    if operations.bytes > 0 {
        write!(to, ", {} bytes", operations.bytes)?;
    }
    for (class, count) in CLASS_NAMES.iter().zip(operations.failed) {
        if count > 0 {
            write!(to, ", {count} failed ({class})")?;
        }
    }
    if operations.in_flight() > 0 {
        write!(to, ", {} in flight", operations.in_flight())?;
    }
    if let Some(mean) = operations.total_ns.checked_div(succeeded) {
        write!(
            to,
            "; mean {} us, half within {}, 99 % within {}, longest {} us",
            mean / 1000,
            Within(operations, succeeded.div_ceil(2)),
            Within(operations, succeeded - succeeded / 100),
            operations.longest_ns / 1000
        )?;
    }
    writeln!(to)
}

/// The bound of the bucket that the request of this rank is in.
struct Within<'a>(&'a Operations, u64);

impl Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut so_far = 0;
        let reached = |count: &u64| {
            so_far += count;
            so_far >= self.1
        };
        match self.0.buckets.iter().position(reached) {
            Some(at) if at + 1 < BUCKETS => write!(f, "{} us", 1u64 << at),
            _ => write!(f, "ever"),
        }
    }
}

/// Nanoseconds as seconds, exactly.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Whose rules for what stands between quotes.
enum Quoting {
    Json,
    Prometheus,
}

/// A name between quotes.
struct Quoted<'a>(&'a str, Quoting);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match (character, &self.1) {
                ('"' | '\\', _) => write!(f, "\\{character}")?,
                ('\n', _) => f.write_str("\\n")?,
                (control, Quoting::Json) if control.is_ascii_control() => {
                    write!(f, "\\u{:04x}", u32::from(control))?;
                }
                (other, _) => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}
