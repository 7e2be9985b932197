//! What differs from render to render, unless the [`Host`] is seeded.
//!
//! [`Host`]: crate::gotmpl::Host

use crate::gotmpl::{Args, Context, Draw, Failure, Function, Str, Type, Value};

const S: Type = Type::Str;
const I: Type = Type::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("randAlphaNum", &[I], S, |context, args| {
        letters(context, args, |c| c.is_ascii_alphanumeric())
    }),
    Function::new("randAlpha", &[I], S, |context, args| {
        letters(context, args, |c| c.is_ascii_alphabetic())
    }),
    Function::new("randNumeric", &[I], S, |context, args| {
        letters(context, args, |c| c.is_ascii_digit())
    }),
    Function::new("randAscii", &[I], S, |context, args| {
        letters(context, args, |c| (' '..'\x7f').contains(&c))
    }),
    Function::new("randBytes", &[I], S, |context, args| {
        let count = usize::try_from(args.int(0))
            .map_err(|_| Failure::new("runtime error: makeslice: len out of range"))?;
        context.charge(count)?;
        let mut bytes = vec![0; count];
        context.draw().random(&mut bytes);
        Ok(base64::Engine::encode(&super::encoding::BASE64, bytes).into())
    }),
    Function::new("randInt", &[I, I], I, |context, args| {
        let (least, most) = (args.int(0), args.int(1));
        let span = u64::try_from(most.wrapping_sub(least))
            .ok()
            .filter(|span| *span > 0)
            .ok_or_else(|| Failure::new("invalid argument to Intn"))?;
        Ok(Value::Int(
            least.wrapping_add(below(&context.draw(), span) as i64),
        ))
    }),
    Function::new("shuffle", &[S], S, |context, args| {
        let mut letters: Vec<char> = args.str(0).to_text().chars().collect();
        let draw = context.draw();
        for end in (1..letters.len()).rev() {
            let other = below(&draw, end as u64 + 1) as usize;
            letters.swap(end, other);
        }
        Ok(letters.into_iter().collect::<String>().into())
    }),
    Function::new("uuidv4", &[], S, |context, _| {
        let mut bytes = [0; 16];
        context.draw().random(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = super::encoding::hex(&bytes);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        Ok(parts.join("-").into())
    }),
];

fn letters(
    context: &mut Context<'_>,
    args: &mut Args<'_>,
    accept: fn(char) -> bool,
) -> Result<Value, Failure> {
    // Sprig throws the error for a negative count away.
    let count = usize::try_from(args.int(0)).unwrap_or(0);
    context.charge(count)?;
    let alphabet: Vec<u8> = (0..128u8)
        .filter(|byte| accept(char::from(*byte)))
        .collect();
    let draw = context.draw();
    let text: Vec<u8> = (0..count)
        .map(|_| alphabet[below(&draw, alphabet.len() as u64) as usize])
        .collect();
    Ok(Value::Str(Str::from_bytes(&text)))
}

/// A number below `bound`, each as likely as the next.
fn below(draw: &Draw<'_>, bound: u64) -> u64 {
    // The largest multiple of the bound; what lies above it would favour the
    // small numbers.
    let fair = u64::MAX - u64::MAX % bound;
    loop {
        let mut bytes = [0; 8];
        draw.random(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < fair {
            return number % bound;
        }
    }
}
