//! A chat template as the transformers library renders it: Jinja2's environment rebuilt on minijinja, with bounds on work,
//! output and depth. Nothing outside the context can be reached from a template.

use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Deserialize;

use crate::error::{exhausted, invalid, reading, Code, Error, Result};
use crate::python::{self, Outcome};
use crate::budget::Made;
use crate::{filters, printing};
use crate::scalar::escaped;

const MAX_SOURCE: usize = 256 << 10;
const MAX_DATE_FORMAT: usize = 4096;

/// The engine walks nested expressions and values by recursion. What bounds them is the size of the source and the fuel, so this
/// is set to hold the deepest of both; only touched pages cost memory.
const STACK_BYTES: usize = 512 << 20;

/// Runs `work` on a thread with a deep stack; its panics go on in this one.
fn with_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work)
            .map_err(|problem| Error::new(Code::ResourceExhausted, format!("chat template: no thread: {problem}")))?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Bounds of one rendering.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Limits {
    pub fuel: u64,
    pub output_bytes: usize,
    pub recursion: usize,
}

pub struct Template {
    source: String,
}

impl Template {
    /// Syntax errors show here.
    pub fn parse(source: &str) -> Result<Self> {
        if source.len() > MAX_SOURCE {
            return exhausted(format!("chat template: found {} bytes, expected at most {MAX_SOURCE}", source.len()));
        }
        with_deep_stack(|| {
            let adapted = crate::syntax::adapt(source).map_err(|m| Error::new(Code::InvalidArgument, format!("chat template: syntax: {m}")))?;
            environment().template_from_str(&adapted).map_err(|problem| describe(&problem))?;
            Ok(Self { source: adapted })
        })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// `now` is the local time that strftime_now prints, as 2025-03-09T14:05:06.
    pub fn render(&self, context: &serde_json::Value, now: &str, limits: Limits) -> Result<String> {
        with_deep_stack(|| self.render_here(context, now, limits))
    }

    fn render_here(&self, context: &serde_json::Value, now: &str, limits: Limits) -> Result<String> {
        let mut environment = environment();
        environment.set_fuel(Some(limits.fuel));
        environment.set_recursion_limit(limits.recursion);
        let clock = Clock::parse(now)?;
        environment.add_function("strftime_now", move |format: String| -> Outcome {
            if format.len() > MAX_DATE_FORMAT {
                return python::type_error(format!("strftime_now: found a format of {} bytes, expected at most {MAX_DATE_FORMAT}", format.len()));
            }
            Ok(Value::from(clock.format(&format)))
        });
        let template = environment.template_from_str(&self.source).map_err(|problem| describe(&problem))?;
        let mut out = Bounded { text: Vec::new(), limit: limits.output_bytes };
        let values: Value = match context {
            serde_json::Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), python::from_json(value))).collect(),
            _ => return invalid("template context: expected an object"),
        };
        let rendered = template.render_captured_to(values, &mut out).map(drop);
        match rendered {
            Ok(()) => String::from_utf8(out.text).map_err(reading("chat template output")),
            Err(_) if out.text.len() > limits.output_bytes => exhausted(format!("chat template: output is above {} bytes", limits.output_bytes)),
            Err(problem) => Err(describe(&problem)),
        }
    }
}

/// Keeps what fits; one byte more is an error.
struct Bounded {
    text: Vec<u8>,
    limit: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if self.text.len() > self.limit {
            return Err(std::io::Error::other("output limit"));
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn environment<'a>() -> Environment<'a> {
    let made = Arc::new(Made::default());
    let printed = made.clone();
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // What is printed may go into a text of the template as well as into the prompt.
    environment.set_formatter(move |out, state, value| {
        let escapes = !matches!(state.auto_escape(), AutoEscape::None) && !value.is_safe();
        let text = printing::text(value)?;
        printed.add(text.len())?;
        out.write_str(&if escapes { escaped(&text) } else { text }).map_err(|_| minijinja::Error::new(ErrorKind::WriteFailure, "output"))
    });
    environment.add_function("raise_exception", |message: Value| -> Outcome {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{}", printing::text(&message)?)))
    });
    environment.add_function("strftime_now", |_: String| -> Outcome { python::type_error("strftime_now: no clock") });
    filters::install(&mut environment, &made);
    environment
}

/// Marks the message of raise_exception inside an engine error.
const RAISED: &str = "raise_exception: ";

fn describe(problem: &minijinja::Error) -> Error {
    let detail = problem.detail().unwrap_or_default();
    if let Some(message) = detail.strip_prefix(RAISED) {
        return Error::new(Code::FailedPrecondition, message);
    }
    if let Some(cause) = std::error::Error::source(problem).and_then(|cause| cause.downcast_ref::<minijinja::Error>()) {
        return describe(cause);
    }
    let (code, kind) = match problem.kind() {
        ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::BadEscape => (Code::InvalidArgument, "syntax"),
        ErrorKind::UndefinedError | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => (Code::InvalidArgument, "undefined"),
        ErrorKind::OutOfFuel => (Code::ResourceExhausted, "too much work"),
        _ => (Code::InvalidArgument, "runtime"),
    };
    let line = problem.line().map_or(String::new(), |line| format!(" (line {line})"));
    let what = if detail.is_empty() { problem.to_string() } else { detail.to_string() };
    Error::new(code, format!("chat template: {kind}: {what}{line}"))
}

/// A local time, broken into fields.
#[derive(Clone, Copy)]
struct Clock {
    date: [i64; 3],
    time: [i64; 3],
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
];

impl Clock {
    fn parse(now: &str) -> Result<Self> {
        let numbers: Vec<i64> = now.split(['-', 'T', ':', ' ']).take(6).map_while(|part| part.parse().ok()).collect();
        let inside = |at: usize, low: i64, high: i64| numbers.get(at).is_some_and(|n| (low..=high).contains(n));
        if numbers.len() != 6 || !inside(0, 1, 9999) || !inside(1, 1, 12) || !inside(2, 1, 31) || !inside(3, 0, 23) || !inside(4, 0, 59) || !inside(5, 0, 60) {
            return invalid(format!("now: found {now:?}, expected a time like 2025-03-09T14:05:06"));
        }
        Ok(Self { date: [numbers[0], numbers[1], numbers[2]], time: [numbers[3], numbers[4], numbers[5]] })
    }

    /// Day of the year from 1, day of the week from Sunday = 0.
    fn days(&self) -> (i64, i64) {
        let [year, month, day] = self.date;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let in_year = lengths[..(month - 1) as usize].iter().sum::<i64>() + day;
        let before = (year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
        (in_year, (before + in_year) % 7)
    }

    fn format(&self, format: &str) -> String {
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            match letters.next() {
                Some('-') => match letters.next() {
                    Some(field) => {
                        let printed = self.field(field);
                        let bare = printed.trim_start_matches(['0', ' ']);
                        out.push_str(if bare.is_empty() { "0" } else { bare });
                    }
                    None => out.push_str("%-"),
                },
                Some(field) => out.push_str(&self.field(field)),
                None => out.push('%'),
            }
        }
        out
    }

    fn field(&self, field: char) -> String {
        let ([year, month, day], [hour, minute, second]) = (self.date, self.time);
        let (in_year, weekday) = self.days();
        let half = if hour % 12 == 0 { 12 } else { hour % 12 };
        match field {
            'Y' => format!("{year:04}"),
            'y' => format!("{:02}", year % 100),
            'C' => format!("{:02}", year / 100),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'B' => MONTHS[(month - 1) as usize].into(),
            'b' | 'h' => MONTHS[(month - 1) as usize][..3].into(),
            'A' => DAYS[weekday as usize].into(),
            'a' => DAYS[weekday as usize][..3].into(),
            'H' => format!("{hour:02}"),
            'I' => format!("{half:02}"),
            'k' => format!("{hour:2}"),
            'l' => format!("{half:2}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => "000000".into(),
            'p' => if hour < 12 { "AM".into() } else { "PM".into() },
            'j' => format!("{in_year:03}"),
            'w' => weekday.to_string(),
            'u' => (if weekday == 0 { 7 } else { weekday }).to_string(),
            'U' => format!("{:02}", (in_year + 6 - weekday) / 7),
            'W' => format!("{:02}", (in_year + 6 - (weekday + 6) % 7) / 7),
            'D' | 'x' => self.format("%m/%d/%y"),
            'F' => self.format("%Y-%m-%d"),
            'T' | 'X' => self.format("%H:%M:%S"),
            'R' => self.format("%H:%M"),
            'r' => self.format("%I:%M:%S %p"),
            'c' => self.format("%a %b %e %H:%M:%S %Y"),
            'n' => "\n".into(),
            't' => "\t".into(),
            '%' => "%".into(),
            'z' | 'Z' => String::new(),
            other => format!("%{other}"),
        }
    }
}

