//! Cuts an expression into words.

use winnow::{
    ModalResult, Parser,
    ascii::{digit0, digit1, multispace0},
    combinator::{alt, opt, repeat},
    stream::{LocatingSlice, Location},
    token::{any, none_of, one_of, take_while},
};

use super::SqlError;

/// A word of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word<'a> {
    /// A keyword or the name of a property.
    Name(&'a str),
    /// A text, without its quotes.
    Text(Box<str>),
    /// A whole number.
    Whole(i64),
    /// A number with a point or an exponent.
    Decimal(f64),
    /// An operator, a parenthesis or a comma.
    Symbol(&'a str),
}

type Input<'a> = LocatingSlice<&'a str>;

/// The words of a text, each with where it starts.
///
/// # Errors
///
/// At a character that starts no word, a text that does not end, or a number out of range.
pub(super) fn words(text: &str) -> Result<Vec<(usize, Word<'_>)>, SqlError> {
    let mut input = LocatingSlice::new(text);
    let mut words = Vec::new();
    loop {
        // Never fails: it takes none as well.
        let _: ModalResult<&str> = multispace0(&mut input);
        if input.is_empty() {
            return Ok(words);
        }
        let at = input.current_token_start();
        let raw = raw.parse_next(&mut input).map_err(|_| unreadable(text, at))?;
        words.push((
            at,
            read(raw).ok_or_else(|| SqlError::new(at, format!("the number {raw} is out of range")))?,
        ));
    }
}

fn unreadable(text: &str, at: usize) -> SqlError {
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some('\'') => SqlError::new(at, "a text without its closing quote"),
        other => SqlError::new(at, format!("unexpected {:?}", other.unwrap_or_default())),
    }
}

/// One word as it stands.
fn raw<'a>(input: &mut Input<'a>) -> ModalResult<&'a str> {
    let name = (one_of(is_name_start), take_while(0.., |c| is_name_start(c) || c.is_ascii_digit())).take();
    let quoted = repeat::<_, _, (), _, _>(0.., alt((none_of('\'').void(), "''".void())));
    let text = ('\'', quoted, '\'').take();
    let exponent = || (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    let whole = (digit1, opt(('.', digit0)), opt(exponent()), opt(one_of(['l', 'L']))).take();
    let fraction = ('.', digit1, opt(exponent())).take();
    let symbol = alt(("<>", "<=", ">=", any.verify(|c: &char| "<>=(),+-".contains(*c)).take()));
    alt((name, text, whole, fraction, symbol)).parse_next(input)
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '$'
}

/// What a word means; `None` for a number out of range.
fn read(raw: &str) -> Option<Word<'_>> {
    let first = raw.chars().next()?;
    if let Some(text) = raw.strip_prefix('\'').and_then(|raw| raw.strip_suffix('\'')) {
        return Some(Word::Text(text.replace("''", "'").into()));
    }
    if is_name_start(first) {
        return Some(Word::Name(raw));
    }
    let is_number = first.is_ascii_digit() || raw.starts_with('.');
    if !is_number {
        return Some(Word::Symbol(raw));
    }
    let digits = raw.strip_suffix(['l', 'L']).unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.parse().ok().map(Word::Whole);
    }
    // An `L` behind a point or an exponent does not parse.
    raw.parse().ok().filter(|number: &f64| number.is_finite()).map(Word::Decimal)
}
