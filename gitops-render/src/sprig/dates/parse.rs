//! Go's `time.Parse`.

use jiff::Zoned;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::{DAYS, MONTHS, Part, next_part, quote};

/// Reads a time in a layout, in UTC where the text names no zone.
///
/// # Errors
///
/// What Go says.
pub(super) fn parse(layout: &str, text: &str) -> Result<Zoned, String> {
    let mut reader = Reader {
        rest: text.as_bytes(),
        ..Reader::default()
    };
    let mut pattern = layout;
    loop {
        let (before, part, after) = next_part(pattern);
        let cannot = |what: &str, at: &[u8]| {
            format!(
                "parsing time {} as {}: cannot parse {} as {}",
                quote(text.as_bytes()),
                quote(layout.as_bytes()),
                quote(at),
                quote(what.as_bytes())
            )
        };
        let wrong = |what: &str| format!("parsing time {}: {what}", quote(text.as_bytes()));
        reader
            .skip(before.as_bytes())
            .map_err(|at| cannot(before, at))?;
        let Some(part) = part else {
            return match reader.rest {
                [] => reader.time().map_err(wrong),
                rest => Err(wrong(&format!("extra text: {}", quote(rest)))),
            };
        };
        let name = &pattern[before.len()..pattern.len() - after.len()];
        let here = reader.rest;
        let next = next_part(after).1;
        reader.read(part, next).map_err(|problem| match problem {
            Problem::Bad => cannot(name, here),
            Problem::Range(what) => wrong(&format!("{what} out of range")),
        })?;
        pattern = after;
    }
}

/// What is wrong with a part of a text.
enum Problem {
    Bad,
    Range(&'static str),
}

type Read<T> = Result<T, Problem>;

#[derive(Default)]
struct Reader<'t> {
    /// What is still to be read.
    rest: &'t [u8],
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    morning: bool,
    afternoon: bool,
    is_utc: bool,
    /// In seconds.
    offset: Option<i32>,
    zone: &'t [u8],
}

impl<'t> Reader<'t> {
    /// Passes what stands between parts; any number of spaces is as good as any
    /// other. Fails with what stands there instead.
    fn skip(&mut self, mut expected: &[u8]) -> Result<(), &'t [u8]> {
        while let Some((first, after)) = expected.split_first() {
            if *first == b' ' {
                if self.rest.first().is_some_and(|byte| *byte != b' ') {
                    return Err(self.rest);
                }
                expected = behind_spaces(expected);
                self.rest = behind_spaces(self.rest);
                continue;
            }
            self.rest = self.rest.strip_prefix(&[*first]).ok_or(self.rest)?;
            expected = after;
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Read<&'t [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Problem::Bad)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of at most so many digits, or of just as many.
    fn number(&mut self, most: usize, fixed: bool) -> Read<i16> {
        let digits = digits(&self.rest[..self.rest.len().min(most)]);
        if digits == 0 || (fixed && digits < most) {
            return Err(Problem::Bad);
        }
        integer(self.take(digits)?).ok_or(Problem::Bad)
    }

    /// Such a number of two digits, below a limit.
    fn below(&mut self, limit: i16, fixed: bool, what: &'static str) -> Read<i8> {
        match self.number(2, fixed)? {
            number if number < limit => Ok(number as i8),
            _ => Err(Problem::Range(what)),
        }
    }

    /// Which of these names stands here, in letters of any case.
    fn name(&mut self, names: &[&str]) -> Read<i8> {
        let stands = |name: &&str| {
            let here = self.rest.get(..name.len());
            here.is_some_and(|here| here.eq_ignore_ascii_case(name.as_bytes()))
        };
        let found = names.iter().position(stands).ok_or(Problem::Bad)?;
        self.take(names[found].len())?;
        Ok(found as i8)
    }

    /// A fraction of a second of so many bytes, its separator included.
    fn fraction(&mut self, length: usize) -> Read<()> {
        let taken = self.take(length)?;
        let Some(b'.' | b',') = taken.first() else {
            return Err(Problem::Bad);
        };
        let shown = &taken[1..length.min(10)];
        let nanos: i32 = integer(shown).ok_or(Problem::Bad)?;
        if nanos < 0 {
            return Err(Problem::Range("fractional second"));
        }
        self.nanos = nanos * 10i32.pow(9 - shown.len() as u32);
        Ok(())
    }

    /// How many bytes of a fraction stand here, its separator included.
    fn fraction_length(&self) -> Option<usize> {
        let (b'.' | b',', rest) = self.rest.split_first()? else {
            return None;
        };
        Some(1 + digits(rest)).filter(|length| *length > 1)
    }

    fn read(&mut self, part: Part, next: Option<Part>) -> Read<()> {
        match part {
            Part::LongYear => {
                if digits(self.rest) == 0 {
                    return Err(Problem::Bad);
                }
                self.year = integer(self.take(4)?).ok_or(Problem::Bad)?;
            }
            Part::Year => {
                let year: i16 = integer(self.take(2)?).ok_or(Problem::Bad)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
            }
            Part::LongMonth => self.month = Some(self.name(&MONTHS)? + 1),
            Part::Month => self.month = Some(self.name(&MONTHS.map(|name| &name[..3]))? + 1),
            Part::NumMonth | Part::ZeroMonth => {
                let month = self.below(13, part == Part::ZeroMonth, "month")?;
                if month == 0 {
                    return Err(Problem::Range("month"));
                }
                self.month = Some(month);
            }
            Part::LongWeekday => drop(self.name(&DAYS)?),
            Part::Weekday => drop(self.name(&DAYS.map(|name| &name[..3]))?),
            Part::Day | Part::UnderDay | Part::ZeroDay => {
                if part == Part::UnderDay {
                    self.rest = self.rest.strip_prefix(b" ").unwrap_or(self.rest);
                }
                self.day = Some(self.number(2, part == Part::ZeroDay)? as i8);
            }
            Part::UnderYearDay | Part::ZeroYearDay => {
                if part == Part::UnderYearDay {
                    for _ in 0..2 {
                        self.rest = self.rest.strip_prefix(b" ").unwrap_or(self.rest);
                    }
                }
                self.year_day = Some(self.number(3, part == Part::ZeroYearDay)?);
            }
            Part::Hour => self.hour = self.below(24, false, "hour")?,
            Part::Hour12 | Part::ZeroHour12 => {
                self.hour = self.below(13, part == Part::ZeroHour12, "hour")?;
            }
            Part::Minute | Part::ZeroMinute => {
                self.minute = self.below(60, part == Part::ZeroMinute, "minute")?;
            }
            Part::Second | Part::ZeroSecond => {
                self.second = self.below(60, part == Part::ZeroSecond, "second")?;
                // A fraction may follow though the layout has none.
                if let Some(length) = self.fraction_length()
                    && !matches!(next, Some(Part::Fraction { .. }))
                {
                    self.fraction(length)?;
                }
            }
            Part::Fraction {
                trim: false,
                digits,
            } => self.fraction(1 + digits)?,
            Part::Fraction { .. } => {
                if let Some(length) = self.fraction_length() {
                    self.fraction(length)?;
                }
            }
            Part::UpperPm | Part::LowerPm => match (part, self.take(2)?) {
                (Part::UpperPm, b"PM") | (Part::LowerPm, b"pm") => self.afternoon = true,
                (Part::UpperPm, b"AM") | (Part::LowerPm, b"am") => self.morning = true,
                _ => return Err(Problem::Bad),
            },
            Part::Zone => match self.rest.strip_prefix(b"UTC") {
                Some(rest) => {
                    self.is_utc = true;
                    self.rest = rest;
                }
                None => self.zone = self.take(zone(self.rest).ok_or(Problem::Bad)?)?,
            },
            Part::Offset {
                z,
                colon,
                seconds,
                short,
            } => match self.rest.strip_prefix(b"Z") {
                Some(rest) if z => {
                    self.is_utc = true;
                    self.rest = rest;
                }
                _ => {
                    let count = 3 - usize::from(!seconds) - usize::from(short);
                    self.offset = Some(self.offset(count, colon)?);
                }
            },
        }
        Ok(())
    }

    /// An offset of hours, or of minutes and seconds too. What is out of range counts
    /// before what is no number, and the form of all before both.
    fn offset(&mut self, count: usize, colon: bool) -> Read<i32> {
        const UNITS: [(i32, i32, &str); 3] = [
            (3600, 24, "time zone offset hour"),
            (60, 60, "time zone offset minute"),
            (1, 60, "time zone offset second"),
        ];
        let sign = self.take(1)?;
        let (mut total, mut readable, mut range) = (0, true, None);
        for (index, (unit, most, what)) in UNITS.into_iter().enumerate().take(count) {
            if index > 0 && colon && self.take(1)? != b":" {
                return Err(Problem::Bad);
            }
            let number = self.take(2)?;
            readable &= digits(number) == 2;
            match integer::<i32>(number) {
                Some(number) if readable && number > most => range = Some(Problem::Range(what)),
                Some(number) => total += number * unit,
                None => {}
            }
        }
        match (range, sign) {
            (Some(range), _) => Err(range),
            (None, b"+") if readable => Ok(total),
            (None, b"-") if readable => Ok(-total),
            _ => Err(Problem::Bad),
        }
    }

    /// The time that all parts together say, or what is wrong with them.
    fn time(&self) -> Result<Zoned, &'static str> {
        let hour = match self.hour {
            hour if self.afternoon && hour < 12 => hour + 12,
            12 if self.morning && !self.afternoon => 0,
            hour => hour,
        };
        let (mut month, mut day) = (self.month, self.day);
        if let Some(number) = self.year_day {
            let first = Date::new(self.year, 1, 1).map_err(|_| "day-of-year out of range")?;
            let date = first.with().day_of_year(number).build();
            let date = date.map_err(|_| "day-of-year out of range")?;
            if month.is_some_and(|month| month != date.month()) {
                return Err("day-of-year does not match month");
            }
            if day.is_some_and(|day| day != date.day()) {
                return Err("day-of-year does not match day");
            }
            (month, day) = (Some(date.month()), Some(date.day()));
        }
        let date = Date::new(self.year, month.unwrap_or(1), day.unwrap_or(1));
        let date = date.map_err(|_| "day out of range")?;
        let civil = DateTime::from(date).with();
        let civil = civil.hour(hour).minute(self.minute).second(self.second);
        let civil = civil.subsec_nanosecond(self.nanos).build();
        let civil = civil.map_err(|_| "day out of range")?;
        let zone = std::str::from_utf8(self.zone).unwrap_or_default();
        let zoned = match (self.is_utc, self.offset) {
            (true, _) => civil.to_zoned(TimeZone::UTC),
            (false, Some(offset)) => civil.to_zoned(zone_of(zone, offset)),
            (false, None) => {
                let hours = zone
                    .strip_prefix("GMT")
                    .and_then(|hours| hours.parse().ok());
                let zone = zone_of(zone, 3600 * hours.unwrap_or(0));
                civil
                    .to_zoned(TimeZone::UTC)
                    .map(|time| time.with_time_zone(zone))
            }
        };
        zoned.map_err(|_| "day out of range")
    }
}

/// A zone of this name, if it has one, and offset. The local one is UTC.
pub(super) fn zone_of(name: &str, seconds: i32) -> TimeZone {
    let fixed = Offset::from_seconds(seconds).unwrap_or(Offset::UTC);
    if seconds == 0 && matches!(name, "" | "UTC") {
        return TimeZone::UTC;
    }
    if name.is_empty() {
        return TimeZone::fixed(fixed);
    }
    // POSIX counts to the west.
    let sign = if seconds < 0 { '+' } else { '-' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    let rule = format!(
        "<{name}>{sign}{hours}:{minutes:02}:{:02}",
        seconds.abs() % 60
    );
    TimeZone::posix(&rule).unwrap_or_else(|_| TimeZone::fixed(fixed))
}

/// How long the name of a zone is that stands here.
fn zone(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix(b"GMT") {
        return Some(3 + hours(rest).unwrap_or(0));
    }
    if text.len() >= 3 && matches!(text[0], b'+' | b'-') {
        return hours(text);
    }
    let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase());
    match letters.count() {
        3 => Some(3),
        4 if text[3] == b'T' || text.starts_with(b"WITA") => Some(4),
        5 if text[4] == b'T' => Some(5),
        _ => None,
    }
}

/// How long a sign with hours is that stands here.
fn hours(text: &[u8]) -> Option<usize> {
    let (b'+' | b'-', rest) = text.split_first()? else {
        return None;
    };
    let digits = digits(rest);
    let hours: u64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    (hours <= 23).then_some(1 + digits)
}

fn behind_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    &text[spaces..]
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A number, which may have a sign.
fn integer<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
