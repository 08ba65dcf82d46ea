--- What the REPL does with a line: compiles it, completes it, and shows the values of one that
-- holds nothing but values.
local complete = require("fsam.program.complete")
local errors = require("fsam.errors")
local repl = require("fsam.program.repl")
local show = require("fsam.program.show")

local SEEDS = { "= 1, 'a', {x = {y = {z = {1, 2, 3}}}}", "string.format", "fsam.",
  "for i = 1, 3 do", "local t = {", "x = \"a\\n\\27[31m",
  "{1, 2, [5] = 3, ['a b'] = false, [true] = nil}", "os.ti",
  "'/dev/sh", "return 0x7fLL, 1e400, -0, 2i", "function f(a, ...) return ... end", "-- [[ a" }

-- Runs a chunk that can reach nothing, for a while.
local function values(chunk)
  setfenv(chunk, {})
  jit.off(chunk, true)
  local count = 0
  debug.sethook(function()
    count = count + 1
    if count > 3 then
      errors.raise("the chunk goes on and on")
    end
  end, "", 1000)
  local found = { pcall(chunk, function(...) return ... end) }
  debug.sethook()
  return found
end

return {
  parts = { { name = "line", kind = "bytes" } },
  files = false,
  words = { "local ", "function ", "end", "return ", "{", "}", "[[", "]]", "--[[", "\\x", "\\u{",
  "'",
    '"', "...", ".", ":", "fsam", "_G", "goto a", "::a::", "nil", "0x", "1e", "~=", "..",
    "string" },
  seeds = function()
    local list = {}
    for i, line in ipairs(SEEDS) do
      list[i] = { line = line }
    end
    return list
  end,
  run = function(bundle)
    local line = bundle.line or ""
    local chunk, message = repl.compile(line)
    assert(chunk or type(message) == "string", "neither a chunk nor a message")
    local _, candidates = complete.complete(line)
    complete.columns(candidates, 80)
    show.show(line, 80)
    if chunk and not line:find("rep", 1, true) and not line:find("[(:=]") then
      for _, value in ipairs(values(chunk)) do
        show.show(value, 80) -- a string by itself is shown plain
        assert(not show.show({ value }, 80):find("[%z\1-\8\14-\31\127]"),
          "control characters are shown")
      end
    end
  end,
}
