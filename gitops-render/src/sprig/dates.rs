//! Dates, in Go's reference layouts.
//!
//! The local zone is UTC: a render that depends on where it runs is not one
//! that a cluster can be compared with.

use std::num::{IntErrorKind, ParseIntError};
use std::time::{SystemTime, UNIX_EPOCH};

use gitops_core::Value as Core;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::gotmpl::{Args, Context, Failure, Function, Kind, Method, Object, Str, Type, Value};

mod parse;

const S: Type = Type::Str;
const ANY: Type = Type::Any;
const TIME: Type = Type::Object("time.Time");

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("now", &[], TIME, |context, _| {
        Ok(Value::object(now(context)))
    }),
    Function::new("date", &[S, ANY], S, |context, args| {
        let time = moment(context, args.value(1));
        Ok(format(&args.str(0).to_text(), &local(&time.0)).into())
    }),
    Function::new("dateInZone", &[S, ANY, S], S, date_in_zone),
    Function::new("date_in_zone", &[S, ANY, S], S, date_in_zone),
    Function::new("htmlDate", &[ANY], S, |context, args| {
        let time = moment(context, args.value(0));
        Ok(format("2006-01-02", &local(&time.0)).into())
    }),
    Function::new("htmlDateInZone", &[ANY, S], S, |context, args| {
        let time = moment(context, args.value(0));
        Ok(format("2006-01-02", &in_zone(&time.0, args.str(1))).into())
    }),
    Function::new("dateModify", &[S, TIME], TIME, date_modify),
    Function::new("date_modify", &[S, TIME], TIME, date_modify),
    Function::new("mustDateModify", &[S, TIME], TIME, must_date_modify),
    Function::new("must_date_modify", &[S, TIME], TIME, must_date_modify),
    Function::new("ago", &[ANY], S, |context, args| {
        let then = match args.value(0) {
            Value::Int32(_) => now(context),
            value => moment(context, value),
        };
        let since = now(context).0.timestamp().as_nanosecond() - then.0.timestamp().as_nanosecond();
        let seconds = (since as f64 / 1e9).round() as i64;
        Ok(duration_text(i128::from(seconds) * 1_000_000_000).into())
    }),
    Function::new("duration", &[ANY], S, |_, args| {
        let seconds = match args.value(0) {
            Value::Int64(seconds) => *seconds,
            Value::Str(text) => seconds(&text.to_text()),
            _ => 0,
        };
        let nanos: i64 = seconds.wrapping_mul(1_000_000_000);
        Ok(duration_text(nanos.into()).into())
    }),
    Function::new("durationRound", &[ANY], S, |context, args| {
        let nanos = match args.value(0) {
            Value::Int64(nanos) => i128::from(*nanos),
            Value::Str(text) => parse_duration(&text.to_text()).unwrap_or(0),
            Value::Object(object) => match object.downcast_ref::<Time>() {
                Some(then) => {
                    now(context).0.timestamp().as_nanosecond() - then.0.timestamp().as_nanosecond()
                }
                None => 0,
            },
            _ => 0,
        };
        Ok(rounded(nanos).into())
    }),
    Function::new("toDate", &[S, S], TIME, |_, args| {
        let parsed = parse(&args.str(0).to_text(), &args.str(1).to_text());
        Ok(Value::object(parsed.unwrap_or_else(|_| Time::zero())))
    }),
    Function::new("mustToDate", &[S, S], TIME, |_, args| {
        let parsed = parse(&args.str(0).to_text(), &args.str(1).to_text());
        parsed.map(Value::object).map_err(Failure::new)
    }),
    Function::new("unixEpoch", &[TIME], S, |_, args| {
        let time = args.object::<Time>(0);
        Ok(time.0.timestamp().as_second().to_string().into())
    }),
];

/// Go's `time.Time`.
pub(super) struct Time(Zoned);

impl Time {
    fn zero() -> Time {
        let zero = DateTime::constant(1, 1, 1, 0, 0, 0, 0);
        Time(zero.to_zoned(TimeZone::UTC).unwrap_or_default())
    }

    fn unix(seconds: i64) -> Time {
        let timestamp = Timestamp::from_second(seconds).unwrap_or_default();
        Time(timestamp.to_zoned(TimeZone::UTC))
    }
}

fn now(context: &Context<'_>) -> Time {
    Time(at(context.host().now()).to_zoned(TimeZone::UTC))
}

fn at(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    Timestamp::new(seconds, since.subsec_nanos() as i32).unwrap_or_default()
}

/// The time that a value stands for; anything that stands for none is now.
fn moment(context: &Context<'_>, value: &Value) -> Time {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Time::unix(*seconds),
        Value::Int32(seconds) => Time::unix(i64::from(*seconds)),
        Value::Object(object) => match object.downcast_ref::<Time>() {
            Some(time) => Time(time.0.clone()),
            None => now(context),
        },
        _ => now(context),
    }
}

fn local(time: &Zoned) -> Zoned {
    time.with_time_zone(TimeZone::UTC)
}

fn in_zone(time: &Zoned, zone: &Str) -> Zoned {
    let zone = zone.to_text();
    let zone = match &*zone {
        "" | "UTC" | "Local" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    time.with_time_zone(zone)
}

fn date_in_zone(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let time = moment(context, args.value(1));
    Ok(format(&args.str(0).to_text(), &in_zone(&time.0, args.str(2))).into())
}

fn date_modify(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let time = &args.object::<Time>(1).0;
    let moved = parse_duration(&args.str(0).to_text())
        .ok()
        .and_then(|nanos| moved(time, nanos));
    Ok(Value::object(Time(moved.unwrap_or_else(|| time.clone()))))
}

fn must_date_modify(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let time = &args.object::<Time>(1).0;
    let nanos = parse_duration(&args.str(0).to_text()).map_err(Failure::new)?;
    let moved = moved(time, nanos);
    Ok(Value::object(Time(moved.unwrap_or_else(|| time.clone()))))
}

fn moved(time: &Zoned, nanos: i128) -> Option<Zoned> {
    let nanos = i64::try_from(nanos).ok()?;
    time.checked_add(nanos.nanoseconds()).ok()
}

/// An integer, or the nearest one that fits, as Go leaves it beside the error.
fn seconds(text: &str) -> i64 {
    text.parse()
        .unwrap_or_else(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => i64::MAX,
            IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        })
}

/// Go's `time.ParseDuration`, in nanoseconds.
fn parse_duration(text: &str) -> Result<i128, String> {
    /// What the least duration is less than nothing.
    const MOST: u64 = 1 << 63;
    let quoted = || quote(text.as_bytes());
    let invalid = || format!("time: invalid duration {}", quoted());
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let cut = |text: &'_ str, end: &dyn Fn(char) -> bool| text.find(end).unwrap_or(text.len());
    let mut total = 0u64;
    while !rest.is_empty() {
        let whole;
        (whole, rest) = rest.split_at(cut(rest, &|c| !c.is_ascii_digit()));
        let fraction;
        (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(cut(rest, &|c| !c.is_ascii_digit())),
            None => ("", rest),
        };
        let number = match whole {
            "" if fraction.is_empty() => return Err(invalid()),
            "" => 0,
            whole => whole
                .parse()
                .ok()
                .filter(|number| *number <= MOST)
                .ok_or_else(invalid)?,
        };
        let unit;
        (unit, rest) = rest.split_at(cut(rest, &|c| c.is_ascii_digit() || c == '.'));
        let unit = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quoted())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            unit => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quote(unit.as_bytes()),
                    quoted()
                ));
            }
        };
        if number > MOST / unit {
            return Err(invalid());
        }
        total = total
            .checked_add(number * unit + part(fraction, unit))
            .filter(|total| *total <= MOST)
            .ok_or_else(invalid)?;
    }
    match negative {
        true => Ok(-i128::from(total)),
        false if total == MOST => Err(invalid()),
        false => Ok(total.into()),
    }
}

/// So much of a unit as the digits behind a point say.
fn part(fraction: &str, unit: u64) -> u64 {
    let (mut digits, mut scale) = (0u64, 1.0);
    for digit in fraction.bytes() {
        // What is smaller than that does not count.
        if digits > (i64::MAX as u64) / 10 {
            break;
        }
        let next = digits * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        digits = next;
        scale *= 10.0;
    }
    (digits as f64 * (unit as f64 / scale)) as u64
}

/// Go's `Duration.String`.
fn duration_text(nanos: i128) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let fraction = |value: u128, unit: u128| {
        let text = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = text.trim_end_matches('0');
        match digits {
            "" => format!("{}", value / unit),
            digits => format!("{}.{digits}", value / unit),
        }
    };
    if nanos < 1_000 {
        return format!("{sign}{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{sign}{}µs", fraction(nanos, 1_000));
    }
    if nanos < 1_000_000_000 {
        return format!("{sign}{}ms", fraction(nanos, 1_000_000));
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn rounded(nanos: i128) -> String {
    const SECOND: u128 = 1_000_000_000;
    const UNITS: [(u128, &str); 6] = [
        (365 * 24 * 3600 * SECOND, "y"),
        (30 * 24 * 3600 * SECOND, "mo"),
        (24 * 3600 * SECOND, "d"),
        (3600 * SECOND, "h"),
        (60 * SECOND, "m"),
        (SECOND, "s"),
    ];
    let nanos = nanos.unsigned_abs();
    match UNITS.iter().find(|(unit, _)| nanos > *unit) {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => "0s".to_owned(),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A part of a layout: what stands before it, and what it means.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    Zone,
    /// An offset: with `Z` for UTC, with colons, with seconds, hours only.
    Offset {
        z: bool,
        colon: bool,
        seconds: bool,
        short: bool,
    },
    /// A fraction of a second: how many digits, trailing zeros cut.
    Fraction {
        digits: usize,
        trim: bool,
    },
}

/// In the order in which Go tries them.
const PARTS: &[(&str, Part)] = &[
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::Zone),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("__2", Part::UnderYearDay),
    ("_2", Part::UnderDay),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-07:00:00", offset(false, true, true, false)),
    ("-070000", offset(false, false, true, false)),
    ("-07:00", offset(false, true, false, false)),
    ("-0700", offset(false, false, false, false)),
    ("-07", offset(false, false, false, true)),
    ("Z07:00:00", offset(true, true, true, false)),
    ("Z070000", offset(true, false, true, false)),
    ("Z07:00", offset(true, true, false, false)),
    ("Z0700", offset(true, false, false, false)),
    ("Z07", offset(true, false, false, true)),
];

const fn offset(z: bool, colon: bool, seconds: bool, short: bool) -> Part {
    Part::Offset {
        z,
        colon,
        seconds,
        short,
    }
}

/// The text up to the next part of a layout, the part, and the rest.
fn next_part(layout: &str) -> (&str, Option<Part>, &str) {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        // `_2006` is an underscore and a year.
        if rest.starts_with("_2006") {
            return (&layout[..at + 1], Some(Part::LongYear), &layout[at + 5..]);
        }
        for (text, part) in PARTS {
            let Some(after) = rest.strip_prefix(text) else {
                continue;
            };
            // "January" and "Jan" but not "Janet"; "Mon" likewise.
            if matches!(part, Part::Month | Part::Weekday)
                && after.starts_with(|c: char| c.is_ascii_lowercase())
            {
                continue;
            }
            return (&layout[..at], Some(*part), after);
        }
        if matches!(c, '.' | ',') {
            let digit = rest[1..].chars().next();
            if let Some(digit @ ('0' | '9')) = digit {
                let digits = rest[1..].chars().take_while(|c| *c == digit).count();
                let after = &rest[1 + digits..];
                if !after.starts_with(|c: char| c.is_ascii_digit()) {
                    let part = Part::Fraction {
                        digits,
                        trim: digit == '9',
                    };
                    return (&layout[..at], Some(part), after);
                }
            }
        }
    }
    (layout, None, "")
}

/// Go's `Time.Format`.
fn format(layout: &str, time: &Zoned) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let mut rest = layout;
    while !rest.is_empty() {
        let consumed = rest;
        let (before, part, after) = next_part(rest);
        out.push_str(before);
        rest = after;
        let Some(part) = part else { break };
        let month = usize::try_from(time.month() - 1).unwrap_or(0);
        let weekday = usize::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0);
        let hour12 = match time.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        let written = match part {
            Part::LongMonth => write!(out, "{}", MONTHS[month]),
            Part::Month => write!(out, "{}", &MONTHS[month][..3]),
            Part::NumMonth => write!(out, "{}", time.month()),
            Part::ZeroMonth => write!(out, "{:02}", time.month()),
            Part::LongWeekday => write!(out, "{}", DAYS[weekday]),
            Part::Weekday => write!(out, "{}", &DAYS[weekday][..3]),
            Part::Day => write!(out, "{}", time.day()),
            Part::UnderDay => write!(out, "{:2}", time.day()),
            Part::ZeroDay => write!(out, "{:02}", time.day()),
            Part::UnderYearDay => write!(out, "{:3}", time.day_of_year()),
            Part::ZeroYearDay => write!(out, "{:03}", time.day_of_year()),
            Part::Hour => write!(out, "{:02}", time.hour()),
            Part::Hour12 => write!(out, "{hour12}"),
            Part::ZeroHour12 => write!(out, "{hour12:02}"),
            Part::Minute => write!(out, "{}", time.minute()),
            Part::ZeroMinute => write!(out, "{:02}", time.minute()),
            Part::Second => write!(out, "{}", time.second()),
            Part::ZeroSecond => write!(out, "{:02}", time.second()),
            Part::LongYear => write!(out, "{:04}", time.year()),
            Part::Year => write!(out, "{:02}", time.year().rem_euclid(100)),
            Part::UpperPm => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
            Part::LowerPm => write!(out, "{}", if time.hour() < 12 { "am" } else { "pm" }),
            Part::Zone => write!(out, "{}", zone_name(time)),
            Part::Offset {
                z,
                colon,
                seconds,
                short,
            } => {
                let offset = time.offset().seconds();
                if z && offset == 0 {
                    out.push('Z');
                    Ok(())
                } else {
                    let sign = if offset < 0 { '-' } else { '+' };
                    let offset = offset.abs();
                    let colon = if colon { ":" } else { "" };
                    let _ = write!(out, "{sign}{:02}", offset / 3600);
                    if !short {
                        let _ = write!(out, "{colon}{:02}", offset / 60 % 60);
                    }
                    if seconds {
                        let _ = write!(out, "{colon}{:02}", offset % 60);
                    }
                    Ok(())
                }
            }
            Part::Fraction { digits, trim } => {
                let nanos = format!("{:09}", time.subsec_nanosecond());
                let mut shown = &nanos[..digits.min(9)];
                if trim {
                    shown = shown.trim_end_matches('0');
                }
                if !shown.is_empty() {
                    let separator = consumed[before.len()..].chars().next().unwrap_or('.');
                    let _ = write!(out, "{separator}{shown}");
                }
                Ok(())
            }
        };
        written.expect("a String takes everything");
    }
    out
}

fn zone_name(time: &Zoned) -> String {
    if time.time_zone() == &TimeZone::UTC {
        return "UTC".to_owned();
    }
    // Go has no name for an offset that a text gave.
    if let Ok(offset) = time.time_zone().to_fixed_offset() {
        let minutes = offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        return format!("{sign}{hours:02}{minutes:02}");
    }
    let info = time.time_zone().to_offset_info(time.timestamp());
    info.abbreviation().to_owned()
}

/// A time in one of Go's layouts, as a template's value, in a zone of this name
/// without an offset if there is a name.
pub(crate) fn parse_time(layout: &str, text: &str, zone: Option<&str>) -> Option<Value> {
    let Time(mut time) = parse(layout, text).ok()?;
    if let Some(name) = zone {
        time = time.with_time_zone(parse::zone_of(name, 0));
    }
    Some(Value::object(Time(time)))
}

/// A time in the layout that there is for the name of its zone.
pub(crate) fn format_time(object: &dyn Object, layout: fn(&str) -> &'static str) -> Option<String> {
    let Time(time) = object.downcast_ref::<Time>()?;
    Some(format(layout(&zone_name(time)), time))
}

fn parse(layout: &str, text: &str) -> Result<Time, String> {
    parse::parse(layout, text).map(Time)
}

impl Object for Time {
    fn type_name(&self) -> &str {
        "time.Time"
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        Vec::new()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(format("2006-01-02 15:04:05.999999999 -0700 MST", &self.0).into())
    }

    fn to_core(&self) -> Result<Core, Failure> {
        Ok(format("2006-01-02T15:04:05.999999999Z07:00", &self.0).into())
    }

    fn same(&self, other: &dyn Object) -> bool {
        other
            .downcast_ref::<Time>()
            .is_some_and(|other| self.0 == other.0)
    }
}

fn time(object: &dyn Object) -> Result<&Zoned, Failure> {
    match object.downcast_ref::<Time>() {
        Some(time) => Ok(&time.0),
        None => Err(Failure::new("not a time")),
    }
}

macro_rules! number {
    ($name:literal, $kind:expr, $variant:ident, $read:expr) => {
        Method::new($name, &[], $kind, |object, _, _| {
            let read: fn(&Zoned) -> i64 = $read;
            Ok(Value::$variant(read(time(object)?)))
        })
    };
}

const METHODS: &[Method] = &[
    Method::new("Format", &[S], S, |object, _, args| {
        Ok(format(&args.str(0).to_text(), time(object)?).into())
    }),
    Method::new("String", &[], S, |object, _, _| {
        Ok(object.text().unwrap_or_default().into())
    }),
    Method::new("UTC", &[], TIME, |object, _, _| {
        Ok(Value::object(Time(
            time(object)?.with_time_zone(TimeZone::UTC),
        )))
    }),
    Method::new("Local", &[], TIME, |object, _, _| {
        Ok(Value::object(Time(
            time(object)?.with_time_zone(TimeZone::UTC),
        )))
    }),
    Method::new(
        "AddDate",
        &[Type::Int, Type::Int, Type::Int],
        TIME,
        |object, _, args| {
            let span = jiff::Span::new()
                .try_years(args.int(0))
                .and_then(|span| span.try_months(args.int(1)))
                .and_then(|span| span.try_days(args.int(2)));
            let moved = span.and_then(|span| {
                time(object).map_or_else(|_| Ok(Zoned::default()), |time| time.checked_add(span))
            });
            moved
                .map(|moved| Value::object(Time(moved)))
                .map_err(|error| Failure::new(error.to_string()))
        },
    ),
    Method::new("IsZero", &[], Type::Bool, |object, _, _| {
        Ok(Value::Bool(*time(object)? == Time::zero().0))
    }),
    number!("Unix", Type::Int64, Int64, |time| time
        .timestamp()
        .as_second()),
    number!("UnixMilli", Type::Int64, Int64, |time| time
        .timestamp()
        .as_millisecond()),
    number!("UnixNano", Type::Int64, Int64, |time| {
        i64::try_from(time.timestamp().as_nanosecond()).unwrap_or(0)
    }),
    number!("Year", Type::Int, Int, |time| time.year().into()),
    number!("Day", Type::Int, Int, |time| time.day().into()),
    number!("Hour", Type::Int, Int, |time| time.hour().into()),
    number!("Minute", Type::Int, Int, |time| time.minute().into()),
    number!("Second", Type::Int, Int, |time| time.second().into()),
    number!("Nanosecond", Type::Int, Int, |time| time
        .subsec_nanosecond()
        .into()),
    number!("YearDay", Type::Int, Int, |time| time.day_of_year().into()),
];

/// The quoting of Go's `time`, which knows only bytes.
fn quote(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in text {
        match char::from(*byte) {
            c @ ('"' | '\\') => out.extend(['\\', c]),
            c @ ' '..='\x7f' => out.push(c),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}
