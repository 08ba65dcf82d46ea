/* lineedit.c: editing one line on a terminal, by libedit. The caller drives: Tab, pasted text,
 * Ctrl-C and the end of input all return to it, so that completion is the caller's loop and
 * nothing here calls back. libedit runs in its unbuffered mode, in which one el_wgets handles one
 * key and the line stays in the editor between calls. The keys that end a call are functions of
 * ours that only note what happened; Ctrl-C and Ctrl-Z are ordinary keys while editing.
 *
 * Where the terminal cannot move its cursor, or its window is too small for libedit to draw in, the
 * terminal itself edits: the line is read as it stands. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "engine/engine.h"

enum { HISTORY_LINES = 2000 };

/* libedit writes beyond its own picture of a window that is smaller. */
enum { LEAST_ROWS = 4, LEAST_COLUMNS = 12 };

enum { INTERRUPT_KEY = 3 }; /* Ctrl-C */

struct fsam_line {
  EditLine *editor; /* NULL: the terminal cannot move its cursor */
  History *past;
  char prompt[64];
  bool editing; /* a line is on the screen, the terminal is in raw mode */
  int event;    /* FSAM_LINE_… that the last key meant, or 0 */
  int deadly;   /* a signal that ends the program, once the terminal is as it was; or 0 */
  char *text;   /* the line as of the last event */
  size_t capacity;
  int cursor; /* in bytes */
  char *pasted;
  size_t pasted_bytes, pasted_capacity;
};

static fsam_line *owner(EditLine *editor) {
  void *line = NULL;
  el_get(editor, EL_CLIENTDATA, &line);
  return line;
}

static void write_terminal(const char *text) {
  fputs(text, stdout);
  fflush(stdout);
}

/* A terminal that does not know its size says 0; libedit then takes its kind's. */
static bool is_large_enough(void) {
  struct winsize size;
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0) return true;
  return (!size.ws_row || size.ws_row >= LEAST_ROWS) &&
         (!size.ws_col || size.ws_col >= LEAST_COLUMNS);
}

/* -- signals ----------------------------------------------------------------------------------- */

/* The signals that matter to a line: Ctrl-C; who asks for the end; the window changed its size, or
 * the process was stopped and goes on. */
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
enum { WATCHED = sizeof watched / sizeof *watched };

static volatile sig_atomic_t arrived; /* the last of them that no line has seen to, or 0 */

static void on_signal(int number) { arrived = number; }

static void watch(struct sigaction before[WATCHED]) {
  struct sigaction action = {.sa_handler = on_signal};
  sigemptyset(&action.sa_mask);
  arrived = 0;
  for (int i = 0; i < WATCHED; i++) {
    sigaction(watched[i], NULL, &before[i]);
    bool ignored = before[i].sa_handler == SIG_IGN && watched[i] == SIGHUP; /* nohup */
    if (!ignored) sigaction(watched[i], &action, NULL);
  }
}

static void watch_no_more(const struct sigaction before[WATCHED]) {
  for (int i = 0; i < WATCHED; i++) sigaction(watched[i], &before[i], NULL);
}

/* Waits for a key. Returns 0, or a signal that has come. */
static int wait_for_key(void) {
  struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
  for (;;) {
    int number = arrived;
    arrived = 0;
    if (number) return number;
    /* A signal just before the wait, or one that another thread took, does not end it. */
    if (poll(&terminal, 1, 500) > 0) return 0;
  }
}

/* What a signal that ends the line means: an event. */
static int event_of(fsam_line *line, int number) {
  if (number == SIGINT) return FSAM_LINE_INTERRUPT;
  line->deadly = number;
  return FSAM_LINE_END;
}

/* -- keys -------------------------------------------------------------------------------------- */

static char *prompt(EditLine *editor) { return owner(editor)->prompt; }

static unsigned char note(EditLine *editor, int event) {
  owner(editor)->event = event;
  return CC_NORM;
}

static unsigned char on_tab(EditLine *editor, int key) {
  (void)key;
  return note(editor, FSAM_LINE_TAB);
}

/* A key that does nothing but redraw: libedit offers no other way to redraw a changed line. */
static unsigned char on_redraw(EditLine *editor, int key) {
  (void)editor;
  (void)key;
  return CC_REFRESH;
}

static unsigned char on_interrupt(EditLine *editor, int key) {
  (void)key;
  return note(editor, FSAM_LINE_INTERRUPT);
}

/* Ctrl-D ends the input on an empty line and deletes a character elsewhere. */
static unsigned char on_end(EditLine *editor, int key) {
  (void)key;
  const LineInfoW *info = el_wline(editor);
  if (info->buffer == info->lastchar) return note(editor, FSAM_LINE_END);
  if (info->cursor == info->lastchar) return CC_REFRESH_BEEP;
  el_cursor(editor, 1);
  el_deletestr(editor, 1);
  return CC_REFRESH;
}

/* Ctrl-Z: restores the cooked terminal for the shell, and the raw one when this program goes on. */
static unsigned char on_suspend(EditLine *editor, int key) {
  (void)key;
  el_set(editor, EL_PREP_TERM, 0);
  kill(0, SIGTSTP);
  el_set(editor, EL_PREP_TERM, 1);
  return CC_REDISPLAY;
}

static bool append_pasted(fsam_line *line, int byte) {
  if (line->pasted_bytes + 1 >= line->pasted_capacity) {
    size_t capacity = line->pasted_capacity ? 2 * line->pasted_capacity : 4096;
    char *grown = realloc(line->pasted, capacity);
    if (!grown) return false;
    line->pasted = grown;
    line->pasted_capacity = capacity;
  }
  line->pasted[line->pasted_bytes++] = (char)byte;
  line->pasted[line->pasted_bytes] = 0;
  return true;
}

/* The terminal announced pasted text (bracketed paste): takes all of it up to the closing mark.
 * Ctrl-C gives up a mark that does not come. */
static unsigned char on_paste(EditLine *editor, int key) {
  static const char mark[] = "\033[201~";
  const size_t mark_bytes = sizeof mark - 1;
  fsam_line *line = owner(editor);
  (void)key;
  line->pasted_bytes = 0;
  unsigned char byte;
  while (read(STDIN_FILENO, &byte, 1) == 1 && append_pasted(line, byte == '\r' ? '\n' : byte)) {
    if (byte == INTERRUPT_KEY) return note(editor, FSAM_LINE_INTERRUPT);
    if (line->pasted_bytes < mark_bytes) continue;
    char *tail = line->pasted + line->pasted_bytes - mark_bytes;
    if (memcmp(tail, mark, mark_bytes) == 0) {
      *tail = 0;
      return note(editor, FSAM_LINE_PASTE);
    }
  }
  return CC_NORM;
}

/* Draws the line anew, in the size that the window now has: another program may have left the
 * terminal cooked. libedit does not hear of too small a size, so the line looks wrong then. */
static void draw_again(EditLine *editor) {
  el_set(editor, EL_PREP_TERM, 0);
  el_set(editor, EL_PREP_TERM, 1);
  if (is_large_enough()) el_resize(editor);
  write_terminal("\r\033[J"); /* the refresh draws anew from the row's beginning */
  el_set(editor, EL_REFRESH);
}

/* Reads one character for libedit: returns 1, 0 at the end of input, -1 on failure. */
static int next_character(EditLine *editor, wchar_t *out) {
  fsam_line *line = owner(editor);
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    int number = wait_for_key();
    if (number == SIGWINCH || number == SIGCONT) {
      draw_again(editor);
      continue;
    } else if (number) {
      line->event = event_of(line, number);
      return -1;
    }
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      line->event = FSAM_LINE_END;
      return (int)n;
    }
    size_t used = mbrtowc(out, &byte, 1, &state);
    if (used == (size_t)-2) continue; /* an unfinished multibyte character */
    if (used == (size_t)-1) *out = (unsigned char)byte;
    return 1;
  }
}

static const struct binding {
  const char *key, *action;
} bindings[] = {
    {"\t", "fsam-tab"},           {"^C", "fsam-interrupt"},      {"^D", "fsam-end"},
    {"^Z", "fsam-suspend"},       {"\\e[200~", "fsam-paste"},    {"\\e[999~", "fsam-redraw"},
    {"^R", "em-inc-search-prev"}, {"^W", "ed-delete-prev-word"}, {"\\e[3~", "ed-delete-next-char"},
    {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},   {"\\e[1~", "ed-move-to-beg"},
    {"\\e[4~", "ed-move-to-end"}, {"\\e[1;5D", "ed-prev-word"},  {"\\e[1;5C", "em-next-word"},
    /* libedit's command line, which crashes on an open quote; its mark, which it leaves beyond the
     * end of a line that has become shorter; and its copying of a word (M-^_), which reads the line
     * where it lay before it grew. */
    {"\\ex", "fsam-redraw"},      {"\\eX", "fsam-redraw"},       {"^X^X", "fsam-redraw"},
    {"\\ew", "fsam-redraw"},      {"\\eW", "fsam-redraw"},       {"^@", "fsam-redraw"},
    {"\\e^_", "fsam-redraw"},     {"\\237", "fsam-redraw"},
};

/* -- the line ---------------------------------------------------------------------------------- */

/* libedit reads and shows text in the locale's encoding; without a locale, UTF-8. */
static void use_utf8(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static void set_up(fsam_line *line) {
  EditLine *editor = line->editor;
  HistEvent event;
  history(line->past, &event, H_SETSIZE, HISTORY_LINES);
  history(line->past, &event, H_SETUNIQUE, 1);
  el_set(editor, EL_CLIENTDATA, line);
  el_set(editor, EL_PROMPT, prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, line->past);
  el_set(editor, EL_GETCFN, next_character);
  el_set(editor, EL_ADDFN, "fsam-redraw", "redraw", on_redraw);
  el_set(editor, EL_ADDFN, "fsam-tab", "complete", on_tab);
  el_set(editor, EL_ADDFN, "fsam-interrupt", "give the line up", on_interrupt);
  el_set(editor, EL_ADDFN, "fsam-end", "end of input, or delete", on_end);
  el_set(editor, EL_ADDFN, "fsam-suspend", "stop the process", on_suspend);
  el_set(editor, EL_ADDFN, "fsam-paste", "take pasted text", on_paste);
  for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++)
    el_set(editor, EL_BIND, bindings[i].key, bindings[i].action, NULL);
  /* Ctrl-C, Ctrl-Z, Ctrl-S and Ctrl-Q are keys. */
  el_set(editor, EL_SETTY, "-d", "-isig", "-ixon", NULL);
  el_source(editor, NULL); /* the user's ~/.editrc */
}

/* Can this kind of terminal move its cursor? */
static bool moves_its_cursor(const char *type) {
  return type && *type && strcmp(type, "dumb") != 0 && strcmp(type, "emacs") != 0;
}

int fsam_line_open(fsam_line **out) {
  if (!isatty(STDIN_FILENO))
    return fsam__fail(FSAM_ENODEV, "line editor: standard input is not a terminal");
  fsam_line *line = calloc(1, sizeof *line);
  if (!line) return fsam__fail(FSAM_ENOMEM, "line editor: no memory");
  if (isatty(STDOUT_FILENO) && moves_its_cursor(getenv("TERM"))) {
    use_utf8();
    line->editor = el_init("fsam-lua", stdin, stdout, stderr);
    line->past = history_init();
    if (!line->editor || !line->past) {
      fsam_line_close(line);
      return fsam__fail(FSAM_ENOMEM, "line editor: libedit did not start");
    }
    set_up(line);
  }
  *out = line;
  return FSAM_OK;
}

void fsam_line_close(fsam_line *line) {
  if (!line) return;
  if (line->past) history_end(line->past);
  if (line->editor) el_end(line->editor);
  free(line->text);
  free(line->pasted);
  free(line);
}

/* Makes room for a line of this many bytes and its final 0. */
static int reserve(fsam_line *line, size_t bytes) {
  if (bytes < line->capacity) return FSAM_OK;
  size_t capacity = 2 * bytes + 256;
  char *text = realloc(line->text, capacity);
  if (!text) return fsam__fail(FSAM_ENOMEM, "line editor: no memory for a line");
  line->text = text;
  line->capacity = capacity;
  return FSAM_OK;
}

/* Copies the editor's line, character by character: el_line, which would give it as bytes, takes a
 * 0 for its end and then counts beyond it. Zeros are left out, since C takes them for ends too. */
static int keep_text(fsam_line *line) {
  const LineInfoW *info = el_wline(line->editor);
  const wchar_t *end = info->lastchar;
  if (end > info->buffer && end[-1] == L'\n') end--;
  int rc = reserve(line, (size_t)(end - info->buffer) * MB_LEN_MAX);
  if (rc < 0) return rc;
  char *to = line->text;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  line->cursor = 0;
  for (const wchar_t *p = info->buffer; p < end; p++) {
    if (p == info->cursor) line->cursor = (int)(to - line->text);
    size_t bytes = *p ? wcrtomb(to, *p, &state) : 0;
    if (bytes == (size_t)-1) {
      *to = '?';
      bytes = 1;
      memset(&state, 0, sizeof state);
    }
    to += bytes;
  }
  *to = 0;
  if (info->cursor >= end) line->cursor = (int)(to - line->text);
  return FSAM_OK;
}

/* Inserts text at the cursor. Bytes that are no UTF-8 become characters of their own, as they do
 * when they are typed. Returns how many characters follow byte `from` of the text. */
static int insert(fsam_line *line, const char *text, int from) {
  size_t left = strlen(text);
  wchar_t *wide = malloc((left + 1) * sizeof *wide);
  if (!wide) return 0;
  const char *p = text;
  size_t count = 0;
  int behind = 0;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  while (left > 0) {
    size_t bytes = mbrtowc(&wide[count], p, left, &state);
    if (bytes == 0 || bytes > left) {
      wide[count] = (unsigned char)*p;
      bytes = 1;
      memset(&state, 0, sizeof state);
    }
    behind += p - text >= from;
    count++;
    p += bytes;
    left -= bytes;
  }
  wide[count] = 0;
  el_winsertstr(line->editor, wide);
  free(wide);
  return behind;
}

/* Presses a key for the user: libedit acts on it at once. */
static void press(fsam_line *line, const wchar_t *key) {
  int count;
  el_wpush(line->editor, key);
  el_wgets(line->editor, &count);
}

static void redraw(fsam_line *line) { press(line, L"\033[999~"); }

static void begin(fsam_line *line, const char *text, int cursor) {
  write_terminal("\033[?2004h");          /* announce pasted text, please */
  el_set(line->editor, EL_UNBUFFERED, 1); /* raw mode, an empty line, the prompt */
  line->editing = true;
  if (!*text) return;
  el_cursor(line->editor, -insert(line, text, cursor));
  redraw(line);
}

static bool ended(const fsam_line *line) {
  const LineInfoW *info = el_wline(line->editor);
  return info->lastchar > info->buffer && info->lastchar[-1] == L'\n';
}

/* Leaves the line on the screen, with the terminal's cursor below it. */
static void finish(fsam_line *line) {
  if (!ended(line)) press(line, L"\n");
  write_terminal("\033[?2004l");
  el_set(line->editor, EL_UNBUFFERED, 0);
  line->editing = false;
}

/* Was Ctrl-D typed, and nothing before it, while the terminal was cooked? Takes it then: raw mode
 * would make a 0 of it. A cooked terminal with an end to read says that it is readable and counts
 * no bytes. */
static bool take_waiting_end(void) {
  struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
  int bytes = 1;
  char byte;
  return poll(&terminal, 1, 0) > 0 && ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && !bytes &&
         read(STDIN_FILENO, &byte, 1) == 0;
}

/* The end of input, before a line was begun. */
static int end_at_once(fsam_line *line) {
  int rc = reserve(line, 0);
  if (rc < 0) return rc;
  line->text[0] = 0;
  line->cursor = 0;
  line->event = FSAM_LINE_END;
  write_terminal("\n");
  return FSAM_OK;
}

static int edit(fsam_line *line, const char *new_prompt, const char *text) {
  if (!line->editing) {
    if (take_waiting_end()) return end_at_once(line);
    snprintf(line->prompt, sizeof line->prompt, "%s", new_prompt);
    begin(line, text, (int)strlen(text));
  }
  line->event = 0;
  while (!line->event) {
    int count;
    el_wgets(line->editor, &count);
    if (!line->event && ended(line)) line->event = FSAM_LINE_DONE;
  }
  int rc = keep_text(line);
  if (line->event != FSAM_LINE_TAB && line->event != FSAM_LINE_PASTE) finish(line);
  return rc;
}

/* Reads a line that the terminal itself edits. */
static int read_plain(fsam_line *line, const char *new_prompt, const char *text) {
  write_terminal(new_prompt);
  write_terminal(text);
  size_t bytes = strlen(text);
  int rc = reserve(line, bytes);
  if (rc < 0) return rc;
  memcpy(line->text, text, bytes);
  line->event = 0;
  while (!line->event && rc == FSAM_OK) {
    int number = wait_for_key();
    char byte = 0;
    ssize_t n = number ? 1 : read(STDIN_FILENO, &byte, 1);
    if (number == SIGINT || number == SIGTERM || number == SIGHUP)
      line->event = event_of(line, number);
    else if (n == 0 || (n < 0 && errno != EINTR))
      line->event = bytes ? FSAM_LINE_DONE : FSAM_LINE_END;
    else if (byte == '\n')
      line->event = FSAM_LINE_DONE;
    else if (byte && (rc = reserve(line, bytes + 1)) == FSAM_OK)
      line->text[bytes++] = byte;
  }
  line->text[bytes] = 0;
  line->cursor = (int)bytes;
  if (line->event == FSAM_LINE_INTERRUPT) write_terminal("\n");
  return rc;
}

int fsam_line_edit(fsam_line *line, const char *new_prompt, const char *text) {
  struct sigaction before[WATCHED];
  watch(before);
  bool edits = line->editing || (line->editor && is_large_enough());
  int rc = (edits ? edit : read_plain)(line, new_prompt, text);
  watch_no_more(before);
  if (line->deadly) raise(line->deadly);
  return rc < 0 ? rc : line->event;
}

const char *fsam_line_text(const fsam_line *line) { return line->text ? line->text : ""; }

int fsam_line_cursor(const fsam_line *line) { return line->cursor; }

const char *fsam_line_pasted(const fsam_line *line) { return line->pasted ? line->pasted : ""; }

void fsam_line_insert(fsam_line *line, const char *text) {
  if (!line->editing || !*text) return;
  insert(line, text, 0);
  redraw(line);
}

int fsam_line_show(fsam_line *line, const char *text) {
  if (!line->editing) return FSAM_OK;
  int rc = keep_text(line);
  if (rc < 0) return rc;
  finish(line);
  write_terminal(text);
  begin(line, line->text, line->cursor);
  return FSAM_OK;
}

void fsam_line_finish(fsam_line *line) {
  if (line->editing) finish(line);
}

void fsam_line_remember(fsam_line *line, const char *text) {
  HistEvent event;
  if (line->past) history(line->past, &event, H_ENTER, text);
}
