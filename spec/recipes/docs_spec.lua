-- The programs that the guides print are run as they stand, what they quote stands in the files,
-- and what they name exists.
local fsam = require("fsam")
local helper = require("spec.helper")
local lfs = require("lfs")
local model = require("spec.lua.logistic")

-- The Lua blocks of a Markdown file, in order: code, and the message that follows as a block of its
-- own where the code is a mistake.
local function blocks(path)
  local list, text = {}, helper.read_file(path)
  for code, at in text:gmatch("```lua\n(.-)```\n()") do
    list[#list + 1] = { code = code, message = text:match("^```\n(type%.lua:[^\n]*)\n```", at) }
  end
  return list
end

-- Runs a chunk as a script in a folder of its own.
local function run(code)
  local folder = helper.temp_dir()
  local path = helper.write_file(folder .. "/script.lua", code)
  local status, out, err = helper.fsam_lua({ path })
  helper.remove_dir(folder)
  assert.equal(0, status, err)
  return out
end

describe("the guides", function()
  it("print a first recipe that runs, and whose loss is reported", function()
    local code = blocks("docs/first-recipe.md")[1].code
    local out = run((code:gsub("for step = 0, 199 do", "for step = 0, 20 do")))
    assert.equal(2, select(2, out:gsub("[^\n]+", "")))
  end)

  it("print a look at a landscape that runs", function()
    local out = run([[
local fsam = require("fsam")
local tokenizer = fsam.text.wordpiece({ vocab = require("fsam.data.acceptability").generate({
  train = 8, dev = 2 }).vocab })
local model = fsam.models.new({ arch = "tiny", vocab_size = tokenizer.vocab_size,
  pad_id = tokenizer.pad_id, labels = { "no", "yes" }, device = fsam.device.open("cpu") })
model.pass = fsam.pass.new({ model = model })
local batches = { require("fsam.data.packing").pack({ { ids = tokenizer:encode("the key is here"),
  label = 1 } }, { pad_id = model.pad_id, position_offset = model.position_offset }) }
]] .. blocks("docs/landscape.md")[1].code)
    assert.matches("^[%d.]+\t[%d.]+\n%-?[%d.e-]+\n$", out)
  end)

  it("print a schedule that can be defined and trained with", function()
    local code
    for _, block in ipairs(blocks("docs/extending.md")) do
      code = code or block.code:find("^fsam%.schedule%.define") and block.code
    end
    run(('local fsam = require("fsam")\n%s\narg = { [0] = "recipes/cola.lua", "--lr-scheduler", '
      .. '"halving", "--half-life", "1", "--no-save", "--max-update", "2", "--max-train-samples", '
      .. '"64", "--log-format", "none" }\ndofile("recipes/cola.lua")'):format(code))
  end)

  it("print sam-types that can be defined and trained with", function()
    for _, path in ipairs({ "README.md", "docs/sam-types.md" }) do
      local code
      for _, block in ipairs(blocks(path)) do
        code = code or block.code:find("^fsam%.sam%.define") and block.code
      end
      run(('local fsam = require("fsam")\n%s\narg = { [0] = "recipes/cola.lua", "--sam-type", '
        .. '"fisher-%s", "--no-save", "--max-update", "2", "--max-train-samples", "64", '
        .. '"--log-format", "none" }\ndofile("recipes/cola.lua")'):format(code,
        code:match('define%("(%w+)"')))
    end
  end)
end)

describe("a recipe", function()
  it("may have a mask policy of its own", function()
    run([[
local fsam = require("fsam")
local made = 0
fsam.mask.define("mine", { values = function(s)
  made = made + 1
  return s.g:abs()
end })
arg = { [0] = "recipes/cola.lua", "--sam-type", "fisher-sam", "--fisher", "mine", "--no-save",
  "--mask-iter-e", "2", "--max-update", "3", "--max-train-samples", "96", "--log-format", "none" }
local exit = os.exit
os.exit = function(code)
  assert(made == 2, made)
  exit(code)
end
dofile("recipes/cola.lua")
]])
  end)
end)

-- What a block of the guides on types is: a definition, or the body of an ascend.
local function trains(code)
  local kind, name = code:match('^fsam%.(%w+)%.define%("(%w+)"')
  if not kind then
    name = "fragment"
    local ascend = assert(loadstring("local fsam = ... return function(s) " .. code .. "\nend",
      "@type.lua"))(fsam)
    fsam.sam.define(name, {
      options = { rho = 0.05, eta = 0.01, sigma = 1, lambda = 0.9 },
      state = { "m" },
      ascend = ascend,
    })
  else
    assert(loadstring("local fsam = ... " .. code, "@type.lua"))(fsam)
  end
  local extra, base = { fisher = "batch", keep_ratio = 0.5 }, nil
  if kind == "optim" then
    model.by_engine(nil, extra, nil, name)
    name, base = "sam", name
  end
  local plain = model.by_engine(name, extra, nil, base)
  local masked = model.by_engine("fisher-" .. name, extra, nil, base)
  for _, weights in ipairs({ plain, masked }) do
    for _, w in ipairs(weights) do
      assert.is_true(w - w == 0)
    end
  end
end

for path, least in pairs({ ["docs/vector-language.md"] = { runs = 7, fails = 9 },
  ["docs/sam-types.md"] = { runs = 11, fails = 5 } }) do
  describe(path, function()
    local count = { runs = 0, fails = 0 }
    for i, block in ipairs(blocks(path)) do
      local what = block.message and "fails" or "runs"
      count[what] = count[what] + 1
      it(("%s what it prints, block %d"):format(what, i), function()
        local ok, err = pcall(trains, block.code)
        if block.message then
          assert.is_false(ok)
          assert.equal(block.message, tostring(err))
        else
          assert.is_true(ok, tostring(err))
        end
      end)
    end

    it("has its examples", function()
      assert.is_true(count.runs >= least.runs and count.fails >= least.fails)
    end)
  end)
end

describe("a mistake in a recipe", function()
  it("is its line and nothing else on standard error", function()
    local folder = helper.temp_dir()
    helper.write_file(folder .. "/type.lua", [[
local fsam = require("fsam")
fsam.sam.define("mistaken", { ascend = function(s)
  return s.g * (s.roh / s.g:norm())
end })
arg = { [0] = "cola.lua", "--sam-type", "mistaken", "--no-save", "--max-train-samples", "32",
  "--log-format", "none" }
dofile("recipes/cola.lua")
]])
    local code, out, err = helper.fsam_lua({ folder .. "/type.lua" })
    assert.same({ 1, "" }, { code, out })
    assert.equal(folder .. "/type.lua:3: s.roh is unknown in mistaken; did you mean s.rho?\n", err)
    helper.remove_dir(folder)
  end)
end)

-- -- what the guides quote and name ---------------------------------------------------------------

-- All Markdown that people read: path → text.
local PAGES = { ["README.md"] = helper.read_file("README.md") }
for _, folder in ipairs({ "docs", "bench/results" }) do
  for name in lfs.dir(folder) do
    if name:find("%.md$") then
      PAGES[folder .. "/" .. name] = helper.read_file(folder .. "/" .. name)
    end
  end
end

-- Calls fn(page, …) with each match of a pattern in each page.
local function each_match(pattern, fn)
  for page, text in pairs(PAGES) do
    for a, b, c in text:gmatch(pattern) do
      fn(page, a, b, c)
    end
  end
end

-- Fails with the list, if there is one.
local function none(list)
  table.sort(list)
  assert.equal("", table.concat(list, "\n"))
end

-- Where in `text` the lines of a block stand, one piece after another: a line … stands for lines
-- that are left out. Returns the piece that is not there, or nil.
local function missing_piece(text, block)
  local at = 1
  for piece in (block:gsub("\n…\n", "\0")):gmatch("%Z+") do
    local first, last = text:find("\n" .. piece:gsub("\n$", "") .. "\n", at, true)
    if not first then
      return piece
    end
    at = last
  end
end

-- The folders of the tree, and paths in them that are examples of a user's.
local FOLDERS = {}
for _, folder in ipairs({ "bench", "cmake", "docs", "engine", "kernels", "lua", "recipes",
  "scripts", "spec" }) do
  FOLDERS[folder] = true
end
local EXAMPLES = { ["recipes/mine.lua"] = true }

-- The headings of a page, as links name them: "#an-op" → true.
local function headings(text)
  local found = {}
  for heading in text:gmatch("\n#+ ([^\n]+)") do
    found["#" .. heading:lower():gsub("[^%w -]", ""):gsub(" ", "-")] = true
  end
  return found
end

describe("the guides", function()
  it("quote files word for word", function()
    local wrong, quotes = {}, 0
    each_match("`([%w_/.-]+)`:\n\n```%w*\n(.-\n)```\n", function(page, path, block)
      local text = helper.read_file(path)
      if text then
        quotes = quotes + 1
        local piece = missing_piece("\n" .. text, block)
        wrong[#wrong + 1] = piece and ("%s: %s has no\n%s"):format(page, path, piece) or nil
      end
    end)
    none(wrong)
    assert.is_true(quotes >= 18)
  end)

  it("name files and folders that are there", function()
    local wrong, names = {}, 0
    each_match("%f[%w_./-]([%w_-]+)(/[%w_/.*-]*)", function(page, root, rest)
      local path = (root .. rest):gsub("%.$", "")
      if FOLDERS[root] and not EXAMPLES[path] and not path:find("[/*]foo[._]")
        and not path:find("*", 1, true) then
        names = names + 1
        wrong[#wrong + 1] = not lfs.attributes(path) and page .. ": " .. path or nil
      end
    end)
    each_match("%]%(([%w_./-]*)(#?[%w-]*)%)", function(page, link, heading)
      local path = link == "" and page or (page:match("^.*/") or "") .. link
      local there = PAGES[path] and (heading == "" or headings(PAGES[path])[heading])
      wrong[#wrong + 1] = not there and page .. ": " .. link .. heading or nil
    end)
    none(wrong)
    assert.is_true(names >= 100)
  end)

  it("name functions and modules that are there", function()
    local wrong, names = {}, 0
    each_match("(fsam%.[%a][%w_.]*)", function(page, name)
      if not name:find("%.so") and not name:find("^fsam%.h") and not name:find("^fsam%.lua") then
        names = names + 1
        local value = fsam
        for field in name:gsub("%.$", ""):gmatch("%.([%w_]+)") do
          value = type(value) == "table" and value[field] or nil
        end
        if not value and not pcall(require, (name:gsub("%.$", ""))) then
          wrong[#wrong + 1] = page .. ": " .. name
        end
      end
    end)
    none(wrong)
    assert.is_true(names >= 20)
  end)

  it("name flags that a recipe has", function()
    local known = { ["--help"] = true }
    local of_fairseq = require("fsam.options.fairseq").FLAGS -- that page names them all
    local function add(list)
      for _, declared in ipairs(list) do
        for _, name in ipairs({ declared.name, unpack(declared.alias or {}) }) do
          known["--" .. name:gsub("_", "-")] = true
        end
      end
    end
    add(fsam.train.flags.spec({ name = "", usage = "", summary = "", task = "cola" }).flags)
    add(fsam.data.own_files.flags)
    add(fsam.landscape.flags.spec({ name = "", usage = "", summary = "" }).flags)
    add(fsam.predict.flags.spec({ name = "", usage = "", summary = "" }).flags)
    for _, path in ipairs({ "lua/fsam/compare/flags.lua", "recipes/preprocess.lua" }) do
      for name in helper.read_file(path):gmatch('{ name = "([%w_]+)"') do
        add({ { name = name } })
      end
    end
    local wrong, names = {}, 0
    local function check(page, flag)
      names = names + 1
      local fine = known[flag] or page == "docs/from-fairseq.md" and of_fairseq[flag]
      wrong[#wrong + 1] = not fine and page .. ": " .. flag or nil
    end
    each_match("`(%-%-[%w-]+)", check) -- a flag by itself
    each_match("fsam%-lua recipes/([^\n`]*)", function(page, command)
      for flag in command:gsub("#.*", ""):gmatch("%-%-[%a-]+") do
        check(page, flag)
      end
    end)
    none(wrong)
    assert.is_true(names >= 100)
  end)

  it("list the rooms in their order", function()
    local rooms, listed = {}, {}
    for room in helper.read_file("scripts/rooms"):gmatch("\nlua (%w+)") do
      rooms[#rooms + 1] = room
    end
    local table_of_rooms = PAGES["README.md"]:match("\n| room |.-\n\n")
    for room in table_of_rooms:gmatch("\n| `(%w+)` |") do
      listed[#listed + 1] = room
    end
    assert.same(rooms, listed)
  end)

  it("list the fields of s", function()
    local names, listed = {}, {}
    for _, field in ipairs(require("fsam.define.fields").list) do
      names[#names + 1] = field.by == "method" and "s:" .. field.name or field.name
    end
    local fields = PAGES["docs/sam-types.md"]:match("What a part finds in `s`:\n\n(.-)\n\n")
    for name in fields:gmatch("\n| `([%w_:]+)[^\n]*` |") do
      listed[#listed + 1] = name
    end
    assert.same(names, listed)
  end)

  it("list the switches that imitate the released code", function()
    local wrong = {}
    for _, declared in ipairs(require("fsam.step.compat").switches) do
      local flag = "--" .. declared.name:gsub("_", "-")
      wrong[#wrong + 1] = not PAGES["docs/compat.md"]:find("`" .. flag, 1, true) and flag or nil
    end
    none(wrong)
  end)
end)
