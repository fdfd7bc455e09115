//! Which columns a table shows, and how wide: what fits, the rest shortened or
//! left out.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// What a column would like, and what it can do without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// The width of its widest value.
    pub(super) width: usize,
    /// The least it may be shortened to; `None`: not at all.
    pub(super) shortest: Option<usize>,
    /// Goes first when highest; 0: stays.
    pub(super) rank: u8,
}

/// Each column's width; `None`: left out.
///
/// Columns are left out until the others fit when shortened; then they get
/// back what there is, the shortest first. What is left fits, however narrow
/// the terminal: a line that wraps makes the next ones unreadable.
pub(super) fn widths(wishes: &[Wish], available: Option<usize>) -> Vec<Option<usize>> {
    let Some(available) = available else {
        return wishes.iter().map(|wish| Some(wish.width)).collect();
    };
    let least = |wish: &Wish| wish.shortest.map_or(wish.width, |shortest| shortest.min(wish.width));
    let mut widths: Vec<_> = wishes.iter().map(|wish| Some(least(wish))).collect();
    while total(&widths) > available && widths.iter().flatten().count() > 1 {
        let stays = |index: usize| widths.get(index).copied().flatten().is_some();
        let candidates = wishes.iter().enumerate().filter(|(index, wish)| wish.rank > 0 && stays(*index));
        let Some((index, _)) = candidates.max_by_key(|(_, wish)| wish.rank) else { break };
        if let Some(width) = widths.get_mut(index) {
            *width = None;
        }
    }
    squeeze(&mut widths, wishes, available);
    let mut spare = available.saturating_sub(total(&widths));
    while spare > 0 {
        let short =
            widths.iter_mut().zip(wishes).filter_map(|(width, wish)| width.as_mut().filter(|it| **it < wish.width));
        let Some(narrowest) = short.min() else { break };
        *narrowest += 1;
        spare -= 1;
    }
    widths
}

/// Makes columns that should stay fit all the same: names become a few letters,
/// then the last columns go, then the first is cut.
fn squeeze(widths: &mut [Option<usize>], wishes: &[Wish], available: usize) {
    while total(widths) > available {
        let names = widths.iter_mut().zip(wishes).filter(|(_, wish)| wish.shortest.is_some());
        let Some(widest) = names.filter_map(|(width, _)| width.as_mut()).filter(|it| **it > FEW_LETTERS).max() else {
            break;
        };
        *widest -= 1;
    }
    while total(widths) > available && widths.iter().flatten().count() > 1 {
        if let Some(last) = widths.iter_mut().rfind(|width| width.is_some()) {
            *last = None;
        }
    }
    if let Some(only) = widths.iter_mut().flatten().next().filter(|only| **only > available) {
        *only = available;
    }
}

/// The text in so many columns: padded, or cut with an ellipsis.
pub(super) fn fitted(text: &str, width: usize, right: bool) -> Cow<'_, str> {
    let text = shortened(text, width);
    let padding = width.saturating_sub(width_of(&text));
    if padding == 0 {
        text
    } else if right {
        Cow::Owned(format!("{:padding$}{text}", ""))
    } else {
        Cow::Owned(format!("{text}{:padding$}", ""))
    }
}

/// How many columns of a terminal a text takes, character by character: what
/// terminals make of sequences (flags, families) differs too much to rely on.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(|char| char.width().unwrap_or(0)).sum()
}

/// The text in at most so many columns.
pub(super) fn shortened(text: &str, width: usize) -> Cow<'_, str> {
    if width_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut room = width.saturating_sub(1);
    let mut end = 0;
    for (index, char) in text.char_indices() {
        let Some(rest) = room.checked_sub(char.width().unwrap_or(0)) else { break };
        room = rest;
        end = index + char.len_utf8();
    }
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    let gaps = shown.clone().count().saturating_sub(1) * GAP.len();
    shown.sum::<usize>() + gaps
}

/// Fewer tell no two names apart.
const FEW_LETTERS: usize = 6;
/// Between two columns.
pub(super) const GAP: &str = "  ";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: Wish = Wish { width: 30, shortest: Some(10), rank: 0 };
    const NUMBER: Wish = Wish { width: 9, shortest: None, rank: 0 };
    const EXTRA: Wish = Wish { width: 15, shortest: None, rank: 2 };

    #[test]
    fn without_a_terminal_all_is_shown() {
        assert_eq!(widths(&[NAME, NUMBER, EXTRA], None), [Some(30), Some(9), Some(15)]);
    }

    #[test]
    fn names_are_shortened_before_columns_go() {
        assert_eq!(widths(&[NAME, NUMBER, EXTRA], Some(50)), [Some(22), Some(9), Some(15)]);
        assert_eq!(widths(&[NAME, NUMBER, EXTRA], Some(37)), [Some(26), Some(9), None]);
    }

    #[test]
    fn what_should_stay_goes_last() {
        assert_eq!(widths(&[NAME, NUMBER, EXTRA], Some(19)), [Some(8), Some(9), None]);
        assert_eq!(widths(&[NAME, NUMBER, EXTRA], Some(16)), [Some(16), None, None]);
        assert_eq!(widths(&[NUMBER, NAME, EXTRA], Some(5)), [Some(5), None, None]);
    }

    #[test]
    fn wide_characters_are_cut_by_their_width() {
        assert_eq!(shortened("臥室の電気", 6), "臥室…");
        assert_eq!(fitted("臥室", 6, true), "  臥室");
        assert_eq!(shortened("abc", 0), "…");
    }

    proptest! {
        #[test]
        fn no_table_is_wider_than_there_is_room(
            columns in proptest::collection::vec((1usize..60, proptest::option::of(1usize..30), 0u8..9), 1..12),
            available in 1usize..200,
        ) {
            let wishes: Vec<_> =
                columns.into_iter().map(|(width, shortest, rank)| Wish { width, shortest, rank }).collect();
            let widths = widths(&wishes, Some(available));
            prop_assert!(total(&widths) <= available);
            prop_assert!(widths.iter().any(Option::is_some));
        }

        #[test]
        fn fitted_text_has_the_width_asked_for(text in "\\PC{0,20}", width in 1usize..30) {
            let text = super::super::safe(&text).into_owned();
            prop_assert!(width_of(&shortened(&text, width)) <= width.max(1));
        }
    }
}
