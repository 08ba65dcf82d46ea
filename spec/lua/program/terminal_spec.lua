-- Sessions on terminals of every kind and size: keys that once ended them, and random ones (see
-- terminal.py, which runs as many as one likes).
local helper = require("spec.helper")

local DRIVER = "python3 spec/lua/program/terminal.py "

local function driver(words)
  if helper.shell("command -v python3") ~= 0 then
    pending("no python3 to make terminals")
  end
  local code, out, err = helper.shell(DRIVER .. helper.quote(helper.build_dir() .. "/fsam-lua")
    .. " " .. words)
  assert.equal(0, code, out .. err)
end

-- Window, terminal, keys.
local SESSIONS = {
  ["libedit's own command line with an open quote"] = { "24x80", "xterm", '\27x"' },
  ["a mark beyond the end of the line"] = { "24x80", "xterm", ("a"):rep(300) .. "\0\21bb\24\24cc" },
  ["zeros in a line"] = { "24x80", "xterm", ("\22\0"):rep(40) .. "\1\5\t\r" },
  ["a window with hardly any room"] = { "2x3", "xterm", "x = 'aaaaaaaa'\rx\27[A\27[D\r" },
  ["a window of one cell"] = { "1x1", "vt100", "\27[F\2\2\2\27b=1+1\27[C\t\8\8fsam.\t\r" },
  ["Ctrl-C on a terminal that cannot move its cursor"] = { "24x500", "dumb", "\27b\25x\3y\3" },
  ["a paste that does not end"] = { "24x80", "xterm", "\27[200~print(1)\n" },
  ["a word that is copied while the line grows"] = { "24x80", "xterm",
    (("a"):rep(700) .. "\27\31"):rep(4) .. "\194\159\r" },
  ["halted output"] = { "24x80", "xterm", "\19a\19\r" },
  ["bytes that are no text"] = { "24x80", "xterm", "\255\192\27[200~\200\n\255\27[201~\r" },
}

describe("a session on a terminal survives", function()
  for name, session in pairs(SESSIONS) do
    it(name, function()
      local folder = helper.temp_dir()
      local keys = helper.write_file(folder .. "/keys", session[3])
      driver(("%s %s %s"):format(session[1], session[2], keys))
      helper.remove_dir(folder)
    end)
  end

  it("random keys", function()
    driver("1 8")
  end)
end)
