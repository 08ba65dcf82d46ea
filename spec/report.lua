--- busted's output handler: one character per spec while they run, then what failed and why, then
-- what was skipped and why, then the files that took longest, then the one line that scripts and
-- people look for.
local base = require("busted.outputHandlers.base")

local MARKS = { success = ".", pending = "s", failure = "F", error = "E" }
local WIDTH = 80
local MOST_FILES, LEAST_SECONDS = 12, 10 -- how many slow files are named, and what is slow

local function place(entry)
  local trace = entry.element.trace or entry.trace
  if trace and trace.short_src then
    return ("%s:%d"):format(trace.short_src, trace.currentline)
  end
  return "?"
end

local function text(message)
  if type(message) == "table" then
    message = rawget(message, "message") or message
  end
  return (tostring(message == nil and "nil error" or message):gsub("\n", "\n    "))
end

-- The files that took longest, the slowest first.
local function write_slowest(seconds)
  local files = {}
  for name, s in pairs(seconds) do
    files[#files + 1] = s >= LEAST_SECONDS and name or nil
  end
  table.sort(files, function(a, b)
    return seconds[a] > seconds[b]
  end)
  for i = 1, math.min(#files, MOST_FILES) do
    io.write(("%s%6.1f s  %s\n"):format(i == 1 and "\n" or "", seconds[files[i]], files[i]))
  end
end

return function(options)
  local busted = require("busted")
  local handler = base()
  local written = 0

  local function mark(status)
    io.write(MARKS[status] or "E")
    written = written + 1
    if written % WIDTH == 0 then
      io.write("\n")
    end
    io.flush()
    return nil, true
  end

  function handler.test_end(_, _, status)
    return mark(status)
  end

  local seconds = {} -- of each file, by its name

  function handler.file_end(file)
    seconds[file.name] = file.duration
    return nil, true
  end

  function handler.outside_error()
    return mark("error")
  end

  -- A spec that never ran because its file or describe block broke counts as failed.
  function handler.suite_end()
    io.write("\n")
    local failed = {}
    for _, list in ipairs({ handler.failures, handler.errors }) do
      for _, entry in ipairs(list) do
        failed[#failed + 1] = entry
      end
    end
    for _, entry in ipairs(failed) do
      io.write(("\nfailed   %s  (%s)\n    %s\n"):format(entry.name, place(entry),
        text(entry.message)))
      if options.verbose and entry.trace and entry.trace.traceback then
        io.write(entry.trace.traceback, "\n")
      end
    end
    for i, entry in ipairs(handler.pendings) do
      io.write(("%sskipped  %s: %s\n"):format(i == 1 and "\n" or "", entry.name,
        text(entry.message or "no reason given")))
    end
    for _, note in pairs(require("spec.helper").notes) do
      io.write("\n", note(), "\n")
    end
    write_slowest(seconds)
    io.write(("\n%.1f s\n"):format(handler.getDuration()))
    io.write(("%d passed, %d failed"):format(handler.successesCount, #failed))
    io.write(#handler.pendings > 0 and (", %d skipped\n"):format(#handler.pendings) or "\n")
    io.flush()
    return nil, true
  end

  busted.subscribe({ "test", "end" }, handler.test_end, { predicate = handler.cancelOnPending })
  busted.subscribe({ "file", "end" }, handler.file_end)
  busted.subscribe({ "suite", "end" }, handler.suite_end)
  for _, where in ipairs({ "file", "describe" }) do
    busted.subscribe({ "error", where }, handler.outside_error)
    busted.subscribe({ "failure", where }, handler.outside_error)
  end
  return handler
end
