//! The viewer's choices: filter, order, selection, and the overlay over the panes.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::text::Line;

use super::model::{FeedRow, ListenerRow, ScreenModel};
use crate::listener::EpisodeReport;

/// Order of the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SortOrder {
    /// By drops in the last second, then by how full the queue is.
    #[default]
    Trouble,
    /// By how full the queue is.
    Fill,
    /// By problem attempts.
    Problems,
    /// By address.
    Address,
}

impl SortOrder {
    const fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Fill,
            Self::Fill => Self::Problems,
            Self::Problems => Self::Address,
            Self::Address => Self::Trouble,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Trouble => "drops",
            Self::Fill => "queue",
            Self::Problems => "problems",
            Self::Address => "address",
        }
    }
}

/// An overlay over the panes.
#[derive(Debug, Clone, Default)]
pub(super) enum Overlay {
    #[default]
    None,
    Help,
    /// Lines to read, such as the ladder of an attempt, with the first line that is shown.
    Text {
        title: String,
        lines: Vec<Line<'static>>,
        top: usize,
        /// The attempt that it shows, which may still change.
        ordinal: Option<u64>,
    },
}

/// A request of the viewer's that the screen itself cannot fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenRequest {
    /// End the run.
    End,
    /// Show the ladder of the attempt at this position of the input.
    Ladder(u64),
}

/// The viewer's choices.
#[derive(Debug, Default)]
pub struct ScreenView {
    /// Only what has this in its addresses is shown.
    pub(super) filter: String,
    /// Keys go to the filter.
    pub(super) typing: bool,
    pub(super) order: SortOrder,
    /// The attempt that is selected, by its position in the input; the latest, where `None`.
    pub(super) selected: Option<u64>,
    pub(super) overlay: Overlay,
    /// The figures at which the viewer stopped.
    pub(super) frozen: Option<Box<ScreenModel>>,
    /// Rows of the feed, or of the text over the panes, on the screen.
    pub(super) page: usize,
}

impl ScreenView {
    /// The model that is shown: `latest`, unless the viewer stopped.
    #[must_use]
    pub fn shown<'a>(&'a self, latest: &'a ScreenModel) -> &'a ScreenModel {
        self.frozen.as_deref().unwrap_or(latest)
    }

    /// Lays a text over the panes; that of an attempt stays where it was scrolled to.
    pub fn show_text(&mut self, title: &str, lines: Vec<Line<'static>>, ordinal: Option<u64>) {
        let top = match &self.overlay {
            Overlay::Text { top, ordinal: shown, .. } if ordinal.is_some() && *shown == ordinal => *top,
            _ => 0,
        };
        self.overlay = Overlay::Text { title: title.to_owned(), lines, top, ordinal };
    }

    /// The attempt whose ladder is open.
    #[must_use]
    pub fn open_attempt(&self) -> Option<u64> {
        match &self.overlay {
            Overlay::Text { ordinal, .. } => *ordinal,
            Overlay::None | Overlay::Help => None,
        }
    }

    /// Handles a key; `latest` are the figures of the moment.
    pub fn key(&mut self, key: KeyEvent, latest: &ScreenModel) -> Option<ScreenRequest> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Some(ScreenRequest::End),
                KeyCode::Char('u') => self.filter.clear(),
                _ => {}
            }
            return None;
        }
        match &self.overlay {
            Overlay::None if self.typing => self.type_filter(key.code),
            Overlay::None => return self.command(key.code, latest),
            Overlay::Help if key.code == KeyCode::Char('q') => return Some(ScreenRequest::End),
            Overlay::Help => self.overlay = Overlay::None,
            Overlay::Text { .. } => self.scroll(key.code),
        }
        None
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(c) => self.filter.push(c),
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = false;
            }
            _ => {}
        }
    }

    fn command(&mut self, key: KeyCode, latest: &ScreenModel) -> Option<ScreenRequest> {
        match key {
            KeyCode::Char('q') => return Some(ScreenRequest::End),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.overlay = Overlay::Help,
            KeyCode::Char('/') => self.typing = true,
            // An address begins with these.
            KeyCode::Char(c @ ('0'..='9' | '[' | ':' | '.')) => {
                self.typing = true;
                self.filter.push(c);
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p' | ' ') => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some(Box::new(latest.clone())),
                };
            }
            KeyCode::Up | KeyCode::Char('k') => self.select(latest, -1),
            KeyCode::Down | KeyCode::Char('j') => self.select(latest, 1),
            KeyCode::PageUp => self.select(latest, -self.page_step()),
            KeyCode::PageDown => self.select(latest, self.page_step()),
            KeyCode::Home | KeyCode::Char('g') => self.selected = None,
            KeyCode::End | KeyCode::Char('G') => self.select(latest, isize::MAX),
            KeyCode::Enter => return self.selected_attempt(latest).map(ScreenRequest::Ladder),
            _ => {}
        }
        None
    }

    fn page_step(&self) -> isize {
        isize::try_from(self.page.max(2) - 1).unwrap_or(1)
    }

    fn scroll(&mut self, key: KeyCode) {
        let page = self.page.max(2) - 1;
        let Overlay::Text { lines, top, .. } = &mut self.overlay else { return };
        let last = lines.len().saturating_sub(self.page);
        *top = match key {
            KeyCode::Up | KeyCode::Char('k') => top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => top.saturating_add(1).min(last),
            KeyCode::PageUp => top.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => top.saturating_add(page).min(last),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Char('q') => {
                self.overlay = Overlay::None;
                return;
            }
            _ => *top,
        };
    }

    fn select(&mut self, latest: &ScreenModel, by: isize) {
        let feed: Vec<u64> = self.feed(self.shown(latest)).map(|row| row.attempt.ordinal).collect();
        let at = self.selected.and_then(|selected| feed.iter().position(|&ordinal| ordinal == selected));
        let to = at.unwrap_or(0).saturating_add_signed(by).min(feed.len().saturating_sub(1));
        // The first row stays the latest attempt, whatever comes.
        self.selected = feed.get(to).copied().filter(|_| to > 0);
    }

    /// The attempt that is selected: the latest, unless another one is.
    pub(super) fn selected_attempt(&self, latest: &ScreenModel) -> Option<u64> {
        let mut feed = self.feed(self.shown(latest)).map(|row| row.attempt.ordinal);
        let first = feed.next();
        match self.selected {
            Some(selected) if first == Some(selected) || feed.any(|ordinal| ordinal == selected) => {
                Some(selected)
            }
            _ => first,
        }
    }

    fn fits(&self, address: impl std::fmt::Display) -> bool {
        self.filter.is_empty() || address.to_string().contains(&self.filter)
    }

    /// The attempts that fit the filter, the latest first.
    pub(super) fn feed<'a>(&'a self, model: &'a ScreenModel) -> impl Iterator<Item = &'a FeedRow> {
        model.feed.iter().filter(|row| self.fits(row.attempt.client) || self.fits(row.attempt.server))
    }

    /// The episodes that fit the filter.
    pub(super) fn episodes<'a>(&'a self, model: &'a ScreenModel) -> impl Iterator<Item = &'a EpisodeReport> {
        let fits = |report: &&EpisodeReport| {
            self.fits(report.server) || report.scanner.is_some_and(|scanner| self.fits(scanner))
        };
        model.episodes.iter().filter(fits)
    }

    /// The listeners that fit the filter, in the order that was chosen.
    pub(super) fn listeners<'a>(&self, model: &'a ScreenModel) -> Vec<&'a ListenerRow> {
        let mut rows: Vec<&ListenerRow> =
            model.listeners.iter().filter(|row| self.fits(row.now.server)).collect();
        let by_fill = |a: &&ListenerRow, b: &&ListenerRow| b.now.fill().total_cmp(&a.now.fill());
        rows.sort_by_key(|row| row.now.key);
        match self.order {
            SortOrder::Address => rows.sort_by_key(|row| row.now.server),
            SortOrder::Problems => rows.sort_by_key(|row| std::cmp::Reverse(row.now.problems)),
            SortOrder::Fill => rows.sort_by(by_fill),
            SortOrder::Trouble => rows.sort_by(|a, b| {
                let trouble = |row: &ListenerRow| (row.rate(), row.now.drops, row.now.problems);
                trouble(b).cmp(&trouble(a)).then_with(|| by_fill(a, b))
            }),
        }
        rows
    }
}
