--- The command line of fsam-lua. engine/host/main.c calls `main` with what only C can know.
--
-- Owns: the program's options, running chunks and scripts, exit codes, and how a failure is
-- printed: `recipe.lua: message` of a command, `script.lua:7: message` where another script called
-- the library, or the message alone where it begins with a place in a file.
-- Leaves to others: what an error becomes (failure.lua), where modules of the current folder are
-- found (modules.lua), the interactive session (repl.lua).
local failures = require("fsam.program.failure")
local lfs = require("lfs")
local modules = require("fsam.program.modules")
local source_line = require("fsam.base.source_line")

local M = {}

local USAGE = [=[
usage: fsam-lua [options] [script [arguments]]
  -e CHUNK   run CHUNK (in it, as in the REPL, the global `fsam` is the library)
  -i         enter the REPL afterwards
  -l NAME    require the module NAME
  -j CMD     control the JIT compiler (-joff, -jv, -jdump=...)
  -O[OPT]    optimisations of the JIT compiler
  -v         print the version
  -h         print this help
  -          run standard input
  --         the next word is the script

Without a script: the REPL on a terminal, else standard input is run. A script recipes/NAME.lua that
is not in the current folder is looked for among the recipes that came with fsam-lua.

Environment: FSAM_LUA_PATH (in front of package.path instead of our own folders; ;; stands for
those), FSAM_TRACE=1 (tracebacks for every error), FSAM_ISA (generic, avx2, avx512).
]=]

local EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

-- Leaves the other ranks. Returns the exit code: another one when a rank has failed meanwhile.
local function leave_ranks(code)
  local world = package.loaded["fsam.ranks.world"]
  local failure = world and world.leave(code)
  if failure then
    io.stderr:write("fsam-lua: ", failure, "\n")
    world.leave(EXIT_ERROR)
    return EXIT_ERROR
  end
  return code
end

--- Prints a failure and returns the exit code that belongs to it.
local function report(name, failure)
  if failure.text then
    io.stdout:flush()
    local prefix = failure.place or failure.plain and name or "fsam-lua"
    local placed = failure.plain and rawget(failure.value, "placed")
    local text = (placed and "" or prefix .. ": ") .. failure.text
    if package.loaded["fsam.ranks.world"] then
      text = package.loaded["fsam.ranks.world"].report(text)
    end
    io.stderr:write(text, "\n")
  end
  local value = failure.value
  local cause = type(value) == "table" and rawget(value, "cause") or value
  return cause == failures.INTERRUPTED and EXIT_INTERRUPTED or EXIT_ERROR
end

-- -- options --------------------------------------------------------------------------------------

local WITH_VALUE = { e = true, l = true, j = true }

--- Reads options up to the script. argv counts from 0, the program's own name.
-- @treturn ?table {actions = {{letter, value}…}, first = index of the script or #argv + 1,
--   stdin=, interactive=, version=, help=}
-- @treturn ?string what is wrong
local function parse(argv)
  local options = { actions = {} }
  local i = 1
  while argv[i] and argv[i]:sub(1, 1) == "-" do
    local word = argv[i]
    local letter, value = word:match("^%-(%a)(.*)$")
    if word == "-" then
      options.stdin = true
      break
    elseif word == "--" then
      i = i + 1
      break
    elseif word == "-h" or word == "--help" then
      options.help = true
    elseif word == "-v" or word == "--version" then
      options.version = true
    elseif word == "-i" then
      options.interactive = true
    elseif letter == "O" then
      options.actions[#options.actions + 1] = { "O", value }
    elseif WITH_VALUE[letter] then
      if value == "" then
        i = i + 1
        value = argv[i]
      end
      if not value then
        return nil, ("option %s needs a value"):format(word)
      end
      options.actions[#options.actions + 1] = { letter, value }
    else
      return nil, ("option %s is unknown"):format(word)
    end
    i = i + 1
  end
  options.first = i
  return options
end

--- -j: a function of jit (`off`, `on`, `flush`), or a module of jit.* with its arguments.
local function control_jit(command)
  local name, rest = command:match("^([^=]+)=?(.*)$")
  local arguments = {}
  for word in (rest or ""):gmatch("[^,]+") do
    arguments[#arguments + 1] = word
  end
  local control = jit[name or ""]
  if type(control) ~= "function" then
    control = require("jit." .. tostring(name)).start
  end
  control(unpack(arguments))
end

--- Runs an -e chunk. It is never compiled, so that Ctrl-C reaches its loops.
local function run_chunk(text)
  local chunk, message = loadstring(text, "=(command line)")
  if not chunk then
    require("fsam.errors").raise("%s", message)
  end
  _G.fsam = _G.fsam or require("fsam")
  jit.off(chunk, true)
  return chunk() -- a tail call: this frame is not part of the user's traceback
end

local ACTIONS = {
  e = run_chunk,
  l = loadstring("require(...)", "=(command line)"), -- the user requires it, not this file
  j = control_jit,
  O = function(level)
    local settings = {}
    for word in level:gmatch("[^,]+") do
      settings[#settings + 1] = word
    end
    jit.opt.start(unpack(settings))
  end,
}

-- -- scripts --------------------------------------------------------------------------------------

local MOST = 2 ^ 24 -- bytes of a script

-- What keeps this path from being a script, or nil: only a regular file is opened, since a pipe may
-- wait for ever and a device never end.
local function fault(path)
  local found, reason = lfs.attributes(path)
  if not found then
    return reason and reason:gsub("^cannot obtain information from file '(.-)': ", "%1: ") or path
  elseif found.mode ~= "file" then
    return ("%s is a %s, expected a script (fsam-lua - runs standard input)"):format(path,
      found.mode == "directory" and "folder" or found.mode)
  elseif found.size > MOST then
    return ("%s has %.0f bytes, at most %.0f are read; is it the right file?"):format(path,
      found.size, MOST)
  end
end

--- Loads a script: a path, or a name among our own recipes. Without a path it is standard input.
-- @treturn ?function
-- @treturn ?string what is wrong
local function load_script(sys, path)
  if path and not lfs.attributes(path, "mode") then
    local ours = path:match("^recipes/") and sys.share .. "/" .. path
    if ours and lfs.attributes(ours, "mode") then
      io.stderr:write("fsam-lua: ", path, " is not here; running ", ours, "\n")
      path = ours
    end
  end
  local wrong = path and fault(path)
  if wrong then
    return nil, wrong
  end
  local chunk, message = loadfile(path)
  return chunk, message and (message:gsub("^cannot open ", ""))
end

-- Is it one of the recipes that came with us? A line of theirs tells their user nothing.
local function is_recipe(sys, path)
  local name = path and path:match("[^/]*%.lua$")
  local own = name and lfs.attributes(sys.share .. "/recipes/" .. name) or {}
  local found = own.ino and lfs.attributes(path) or {}
  return own.ino ~= nil and own.ino == found.ino and own.dev == found.dev
end

--- Runs a script, or standard input. Returns the exit code.
local function run_script(sys, path)
  local chunk, message = load_script(sys, path)
  if not chunk then
    io.stderr:write("fsam-lua: ", require("fsam.errors").line(message), "\n")
    return EXIT_ERROR
  end
  local ok, failure = failures.call(sys, chunk, unpack(_G.arg))
  local place = not ok and failure.place
  if place and (is_recipe(sys, path) or is_recipe(sys, place:match("^(.*):%d+$"))) then
    failure.place = nil
  end
  return ok and 0 or report(path and path:match("[^/]*$") or "stdin", failure)
end

--- The table `arg`: the script at 0, its arguments after it, everything else before it.
local function set_arg(argv, first)
  local arguments = {}
  for i = 0, #argv do
    arguments[i - first] = argv[i]
  end
  _G.arg = arguments
end

-- -- several processes ----------------------------------------------------------------------------

-- Would these words run the REPL, or standard input?
local function reads_standard_input(argv)
  local options = parse(argv)
  if not options or options.help then
    return false
  end
  local asked = options.version or #options.actions > 0
  return options.stdin or options.interactive or not (argv[options.first] or asked)
end

-- Says why this process cannot join the others. They mostly all fail alike, so the first one
-- speaks; mpirun then ends the others. One that still lives seconds later has a reason of its own.
-- Without MPI another machine may lack what the first one has: there the first of each speaks. And
-- srun ends none of them: there the others keep silent.
local function refuse(message, here)
  local environment = require("fsam.ranks.environment")
  local first = environment.is_first() or here and here.address and here.local_rank == 0
  if not first then
    if here and here.address or os.getenv("SLURM_STEP_NUM_TASKS") then
      return
    end
    os.execute("sleep 3")
    if require("fsam.C").lib.fsam_interrupted() ~= 0 then -- by the launcher
      return
    end
  end
  io.stderr:write("fsam-lua: ", tostring(message), "\n")
end

-- Joins the processes that a launcher started together with this one, and sees to it that it leaves
-- them before it ends. Returns false, and the exit code, when that fails: rank 0 has said why.
local function join_ranks(sys)
  local environment = require("fsam.ranks.environment")
  local ok, here = pcall(environment.read)
  if not ok then
    refuse(here)
    return false, EXIT_ERROR
  elseif here.size == 1 then
    return true
  elseif reads_standard_input(sys.argv) then
    if here.rank == 0 then
      io.stderr:write(("fsam-lua: %s started %d processes, and standard input is for one: start "
        .. "the REPL alone, or name a script\n"):format(here.launcher, here.size))
    end
    return false, EXIT_USAGE
  end
  local world = require("fsam.ranks.world")
  local joined, message = pcall(world.join)
  if not joined then
    refuse(message, here)
    return false, EXIT_ERROR
  end
  local exit = os.exit
  rawset(os, "exit", function(code, ...)
    exit(leave_ranks(code == true and 0 or code == false and 1 or code or 0), ...)
  end)
  return true
end

-- -- the program ----------------------------------------------------------------------------------

local function version_line(sys)
  return ("fsam-lua %s (%s, %s)"):format(sys.version, jit.version, jit.arch)
end

-- What the words ask for. Returns the exit code.
local function run(sys)
  local argv = sys.argv
  local options, problem = parse(argv)
  if not options then
    io.stderr:write("fsam-lua: ", problem, "; fsam-lua -h lists the options\n")
    return EXIT_USAGE
  end
  if options.help then
    io.stdout:write(USAGE)
    return 0
  end
  jit.opt.start("maxtrace=8000", "maxrecord=8000", "maxmcode=16384")
  set_arg(argv, options.first)
  if options.version then
    print(version_line(sys))
  end
  for _, action in ipairs(options.actions) do
    local ok, failure = failures.call(sys, ACTIONS[action[1]], action[2])
    if not ok then
      return report("fsam-lua", failure)
    end
  end

  local status = 0
  local script = not options.stdin and argv[options.first] or nil
  local idle = not script and not options.stdin
  local asked = options.version or options.interactive or #options.actions > 0
  local repl = options.interactive or (idle and not asked and sys.is_terminal(0))
  if script or options.stdin or (idle and not asked and not repl) then
    status = run_script(sys, script)
  end
  if repl then
    local whole = require("fsam.program.repl").run(sys)
    status = whole and status or EXIT_ERROR
  end
  return status
end

--- Runs a command line.
-- @tparam table sys argv (the words, from 0: the program's own name), share (the folder of our
--   recipes), version, relative (search paths within the current folder), on_interrupt(value) (what
--   Ctrl-C and other signals that end a program raise; nil: nothing), is_terminal(file descriptor),
--   thread (the main one)
-- @treturn number exit code
function M.main(sys)
  modules.search_current_folder(sys.relative)
  source_line.set_main_thread(sys.thread)
  local together, code = join_ranks(sys)
  if not together then
    return code
  end
  return leave_ranks(run(sys))
end

return M
