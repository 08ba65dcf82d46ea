/* lineedit.c: editing one line on a terminal, by libedit. The caller drives: Tab, pasted text,
 * Ctrl-C and the end of input all return to it, so that completion is the caller's loop and
 * nothing here calls back. libedit runs in its unbuffered mode, in which one el_gets handles one
 * key and the line stays in the editor between calls. The keys that end a call are functions of
 * ours that only note what happened; Ctrl-C and Ctrl-Z are ordinary keys while editing. */
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "engine/engine.h"

enum { HISTORY_LINES = 2000 };

struct fsam_line {
  EditLine *editor;
  History *past;
  char prompt[64];
  bool editing; /* a line is on the screen, the terminal is in raw mode */
  int event;    /* FSAM_LINE_… that the last key meant, or 0 */
  char *text;   /* the line as of the last event */
  int cursor;   /* in bytes */
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
  const LineInfo *info = el_line(editor);
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

/* The terminal announced pasted text (bracketed paste): takes all of it up to the closing mark. */
static unsigned char on_paste(EditLine *editor, int key) {
  static const char mark[] = "\033[201~";
  const size_t mark_bytes = sizeof mark - 1;
  fsam_line *line = owner(editor);
  (void)key;
  line->pasted_bytes = 0;
  unsigned char byte;
  while (read(STDIN_FILENO, &byte, 1) == 1 && append_pasted(line, byte == '\r' ? '\n' : byte)) {
    if (line->pasted_bytes < mark_bytes) continue;
    char *tail = line->pasted + line->pasted_bytes - mark_bytes;
    if (memcmp(tail, mark, mark_bytes) == 0) {
      *tail = 0;
      return note(editor, FSAM_LINE_PASTE);
    }
  }
  return CC_NORM;
}

/* The window changed its size, or the process was stopped and goes on. */
static void on_disturbance(int number) { (void)number; }

/* Reads one character for libedit: returns 1, 0 at the end of input, -1 on failure. */
static int next_character(EditLine *editor, wchar_t *out) {
  fsam_line *line = owner(editor);
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) {
      if (fsam_interrupted()) {
        line->event = FSAM_LINE_INTERRUPT;
        return -1;
      }
      el_set(editor, EL_PREP_TERM, 0); /* another program may have left it cooked */
      el_set(editor, EL_PREP_TERM, 1);
      el_resize(editor);
      write_terminal("\r\033[J"); /* the refresh draws anew from the row's beginning */
      el_set(editor, EL_REFRESH);
      continue;
    }
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
  el_set(editor, EL_SETTY, "-d", "-isig", NULL);
  el_source(editor, NULL); /* the user's ~/.editrc */
}

int fsam_line_open(fsam_line **out) {
  const char *type = getenv("TERM");
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
    return fsam__fail(FSAM_ENODEV, "line editor: standard input and output are not a terminal");
  if (!type || !*type || strcmp(type, "dumb") == 0 || strcmp(type, "emacs") == 0)
    return fsam__fail(FSAM_ENODEV, "line editor: this terminal cannot move its cursor");
  use_utf8();
  fsam_line *line = calloc(1, sizeof *line);
  if (!line) return fsam__fail(FSAM_ENOMEM, "line editor: no memory");
  line->editor = el_init("fsam-lua", stdin, stdout, stderr);
  line->past = history_init();
  if (!line->editor || !line->past) {
    fsam_line_close(line);
    return fsam__fail(FSAM_ENOMEM, "line editor: libedit did not start");
  }
  set_up(line);
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

/* Copies the editor's line, which libedit keeps in a buffer of its own. */
static int keep_text(fsam_line *line) {
  const LineInfo *info = el_line(line->editor);
  size_t bytes = (size_t)(info->lastchar - info->buffer);
  if (bytes && info->buffer[bytes - 1] == '\n') bytes--;
  char *text = realloc(line->text, bytes + 1);
  if (!text) return fsam__fail(FSAM_ENOMEM, "line editor: no memory for a line");
  memcpy(text, info->buffer, bytes);
  text[bytes] = 0;
  line->text = text;
  line->cursor = (int)(info->cursor - info->buffer);
  return FSAM_OK;
}

/* Presses a key for the user: libedit acts on it at once. */
static void press(fsam_line *line, const char *key) {
  int count;
  el_push(line->editor, key);
  el_gets(line->editor, &count);
}

static void redraw(fsam_line *line) { press(line, "\033[999~"); }

static void begin(fsam_line *line, const char *text, int cursor) {
  write_terminal("\033[?2004h");          /* announce pasted text, please */
  el_set(line->editor, EL_UNBUFFERED, 1); /* raw mode, an empty line, the prompt */
  line->editing = true;
  if (!*text) return;
  el_insertstr(line->editor, text);
  const LineInfo *info = el_line(line->editor);
  int back = 0; /* characters from the cursor to the end */
  for (const char *p = info->buffer + cursor; p < info->lastchar; p++) back += (*p & 0xC0) != 0x80;
  el_cursor(line->editor, -back);
  redraw(line);
}

static bool ended(const fsam_line *line) {
  const LineInfo *info = el_line(line->editor);
  return info->lastchar > info->buffer && info->lastchar[-1] == '\n';
}

/* Leaves the line on the screen, with the terminal's cursor below it. */
static void finish(fsam_line *line) {
  if (!ended(line)) press(line, "\n");
  write_terminal("\033[?2004l");
  el_set(line->editor, EL_UNBUFFERED, 0);
  line->editing = false;
}

int fsam_line_edit(fsam_line *line, const char *new_prompt, const char *text) {
  struct sigaction action = {.sa_handler = on_disturbance}, resized, continued;
  sigemptyset(&action.sa_mask);
  sigaction(SIGWINCH, &action, &resized);
  sigaction(SIGCONT, &action, &continued);
  fsam_interrupt_catch(1);
  if (!line->editing) {
    snprintf(line->prompt, sizeof line->prompt, "%s", new_prompt);
    begin(line, text, (int)strlen(text));
  }
  line->event = 0;
  while (!line->event) {
    int count;
    el_gets(line->editor, &count);
    if (!line->event && ended(line)) line->event = FSAM_LINE_DONE;
  }
  int rc = keep_text(line);
  if (line->event != FSAM_LINE_TAB && line->event != FSAM_LINE_PASTE) finish(line);
  fsam_interrupt_catch(0);
  sigaction(SIGWINCH, &resized, NULL);
  sigaction(SIGCONT, &continued, NULL);
  return rc < 0 ? rc : line->event;
}

const char *fsam_line_text(const fsam_line *line) { return line->text ? line->text : ""; }

int fsam_line_cursor(const fsam_line *line) { return line->cursor; }

const char *fsam_line_pasted(const fsam_line *line) { return line->pasted ? line->pasted : ""; }

void fsam_line_insert(fsam_line *line, const char *text) {
  if (!line->editing || !*text) return;
  el_insertstr(line->editor, text);
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
  history(line->past, &event, H_ENTER, text);
}
