//! The layout of the screen: a status line, three panes, a line of keys; and what lies over them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::lines::ScreenStyle;
use super::model::{FeedRow, ScreenModel};
use super::panes;
use super::view::{Overlay, ScreenView};
use crate::listener::{EpisodeReport, EpisodeState};
use crate::printable::printable;
use crate::report::ReportOptions;
use crate::report::text::Emphasis;
use crate::words::{count, number};

/// Fewest rows of the attempts that the panes above leave, where there is room for them.
const MIN_FEED: u16 = 5;

/// The help on keys, for `?`.
const HELP: &[(&str, &str)] = &[
    ("Up Down, PgUp PgDn", "select an attempt"),
    ("Enter", "its messages, as by --ladder"),
    ("/ or a digit", "only what has this in an address"),
    ("Esc", "everything again; close"),
    ("s", "order of the listeners"),
    ("p or Space", "stop; go on"),
    ("q or Ctrl-C", "end, and print the report"),
];

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, model: &ScreenModel, view: &mut ScreenView, options: &ReportOptions) {
    let style = ScreenStyle::new(options);
    let area = frame.area();
    match &view.overlay {
        Overlay::Text { title, lines, top, .. } => {
            let rows = draw_text(frame, &style, area, title, lines, *top);
            view.page = rows;
        }
        Overlay::None | Overlay::Help => {
            let page = draw_panes(frame, &style, area, view.shown(model), model, view);
            view.page = page;
            if matches!(view.overlay, Overlay::Help) {
                draw_help(frame, &style, area);
            }
        }
    }
}

/// Parts of an area, from the top: as many rows each, the last one with the rest.
struct Rows {
    left: Rect,
}

impl Rows {
    fn take(&mut self, height: u16) -> Rect {
        let height = height.min(self.left.height);
        let taken = Rect { height, ..self.left };
        self.left.y += height;
        self.left.height -= height;
        taken
    }
}

/// Draws the panes; returns how many rows of attempts there are room for.
fn draw_panes(
    frame: &mut Frame<'_>,
    style: &ScreenStyle,
    area: Rect,
    shown: &ScreenModel,
    latest: &ScreenModel,
    view: &ScreenView,
) -> usize {
    let listeners = view.listeners(shown);
    let episodes: Vec<&EpisodeReport> = view.episodes(shown).collect();
    let mut rows = Rows { left: area };
    put(frame, style, rows.take(1), &[panes::status(style, shown, view)]);
    // The keys have the last row, once there is more than one.
    let keys =
        Rect { y: area.bottom().saturating_sub(1), height: area.height.saturating_sub(1).min(1), ..area };
    rows.left.height = rows.left.height.saturating_sub(keys.height);
    if let Some((at, notice)) = &latest.notice
        && rows.left.height > MIN_FEED
    {
        let text = format!("{}  {}", style.time(*at), printable(notice));
        put(frame, style, rows.take(1), &[Line::styled(text, style.of(Emphasis::Warning))]);
    }
    let free = rows.left.height.saturating_sub(MIN_FEED);
    let wanted = |rows: usize| u16::try_from(rows + 3).unwrap_or(u16::MAX);
    let of_listeners = wanted(listeners.len()).min(free - free / 3);
    if of_listeners > 3 {
        let area = rows.take(of_listeners);
        let fit = usize::from(area.height.saturating_sub(3));
        let more = listeners.len().saturating_sub(fit);
        let order = format!("by {}", view.order.name());
        let title = title("LISTENERS", listeners.len(), more, &order);
        let shown = listeners.get(..fit).unwrap_or(&listeners);
        pane(frame, style, area, title, panes::listeners(style, shown, area.width.into()));
    }
    let of_episodes = wanted(episodes.len()).min(free.saturating_sub(of_listeners));
    if of_episodes > 3 {
        let area = rows.take(of_episodes);
        let fit = usize::from(area.height.saturating_sub(3));
        let going = episodes.iter().filter(|report| report.state != EpisodeState::Ended).count();
        let state = format!("{} open", number(going as u64));
        let title = title("EPISODES", episodes.len(), episodes.len().saturating_sub(fit), &state);
        let shown = episodes.get(..fit).unwrap_or(&episodes);
        pane(frame, style, area, title, panes::episodes(style, shown, area.width.into()));
    }
    let page = draw_feed(frame, style, rows.left, shown, view);
    put(frame, style, keys, &[keys_line(style, view, area.width)]);
    page
}

/// Draws the attempts around the selected one; returns how many rows there are room for.
fn draw_feed(
    frame: &mut Frame<'_>,
    style: &ScreenStyle,
    area: Rect,
    model: &ScreenModel,
    view: &ScreenView,
) -> usize {
    let feed: Vec<&FeedRow> = view.feed(model).collect();
    let selected = view.selected_attempt(model);
    let place = feed.iter().position(|row| Some(row.attempt.ordinal) == selected).unwrap_or(0);
    let page = usize::from(area.height.saturating_sub(2));
    let top = (place + 1).saturating_sub(page);
    let shown = feed.get(top..(top + page).min(feed.len())).unwrap_or_default();
    let servers = panes::sole_server(shown).map_or_else(String::new, |server| format!("to {server}"));
    let title = title("PROBLEM ATTEMPTS", feed.len(), 0, &servers);
    let mut lines = panes::feed(style, shown, selected);
    if feed.is_empty() {
        let text = if view.filter.is_empty() { "none so far" } else { "none that the filter selects" };
        lines = vec![Line::styled(text, style.of(Emphasis::Faint))];
    }
    pane(frame, style, area, title, lines);
    page
}

/// `LISTENERS (12, 4 not shown)  by queue`.
fn title(name: &str, rows: usize, more: usize, what: &str) -> String {
    let more = if more > 0 { format!(", {} not shown", number(more as u64)) } else { String::new() };
    format!("{name} ({}{more})  {what}", number(rows as u64))
}

/// A title, and lines below it; a blank line after them where there is room.
fn pane(frame: &mut Frame<'_>, style: &ScreenStyle, area: Rect, title: String, lines: Vec<Line<'static>>) {
    let mut all = vec![Line::styled(title.trim_end().to_owned(), style.of(Emphasis::Strong))];
    all.extend(lines);
    put(frame, style, area, &all);
}

/// The filter while it is typed, else the most important keys.
fn keys_line(style: &ScreenStyle, view: &ScreenView, width: u16) -> Line<'static> {
    if view.typing || !view.filter.is_empty() {
        let cursor = if view.typing { "_" } else { "" };
        let text = format!("filter: {}{cursor}", printable(&view.filter));
        let how = if view.typing { "  Enter keep  Esc clear" } else { "  Esc clear  / change" };
        return Line::from(vec![
            Span::styled(text, style.of(Emphasis::Warning)),
            Span::styled(how, style.of(Emphasis::Faint)),
        ]);
    }
    let keys = match width {
        64.. => "Up/Down select  Enter messages  / filter  s sort  p pause  ? help  q end",
        30.. => "Enter  / filter  p  s  ? help  q end",
        _ => "? help  q end",
    };
    Line::styled(keys, style.of(Emphasis::Faint))
}

/// Draws a text that lies over everything; returns how many of its lines are shown.
fn draw_text(
    frame: &mut Frame<'_>,
    style: &ScreenStyle,
    area: Rect,
    title: &str,
    lines: &[Line<'static>],
    top: usize,
) -> usize {
    let mut rows = Rows { left: area };
    let fit = usize::from(area.height.saturating_sub(2));
    let top = top.min(lines.len().saturating_sub(fit));
    let last = (top + fit).min(lines.len());
    let place = if lines.len() > fit {
        format!("  lines {} to {last} of {}", top + 1, lines.len())
    } else {
        String::new()
    };
    put(frame, style, rows.take(1), &[Line::styled(format!("{title}{place}"), style.of(Emphasis::Strong))]);
    let text = rows.take(u16::try_from(fit).unwrap_or(u16::MAX));
    put(frame, style, text, lines.get(top..last).unwrap_or_default());
    let keys =
        Rect { y: area.bottom().saturating_sub(1), height: area.height.saturating_sub(1).min(1), ..area };
    put(frame, style, keys, &[Line::styled("Esc back  Up/Down PgUp/PgDn scroll", style.of(Emphasis::Faint))]);
    fit
}

fn draw_help(frame: &mut Frame<'_>, style: &ScreenStyle, area: Rect) {
    let lines: Vec<Line<'static>> = HELP
        .iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(format!(" {key:<20}"), style.of(Emphasis::Strong)),
                Span::raw((*what).to_owned()),
            ])
        })
        .collect();
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let width = 58.min(area.width);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(format!(" {} ", count(HELP.len() as u64, "key")));
    let block = if style.unicode { block } else { block.border_set(ASCII_BORDER) };
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

/// A border for terminals without line characters.
const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Puts lines into an area, those that are too long with a mark. A selected line is marked over the whole width.
fn put(frame: &mut Frame<'_>, style: &ScreenStyle, area: Rect, lines: &[Line<'static>]) {
    let cut = if style.unicode { "…" } else { ">" };
    if area.is_empty() {
        return;
    }
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        let row = Rect { y, height: 1, ..area };
        frame.render_widget(line, row);
        if line.width() > usize::from(area.width)
            && let Some(last) = frame.buffer_mut().cell_mut((row.right().saturating_sub(1), y))
        {
            last.set_symbol(cut);
        }
        if line.style.add_modifier.contains(Modifier::REVERSED) {
            frame.buffer_mut().set_style(row, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}
