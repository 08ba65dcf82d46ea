-- The programs that the guides print are run as they stand.
local fsam = require("fsam")
local helper = require("spec.helper")
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

-- What a block of the guides on types is: a definition, or the body of an ascend.
local function trains(code)
  local kind, name = code:match('^fsam%.(%w+)%.define%("(%w+)"')
  if not kind then
    name = "fragment"
    local body = assert(loadstring("local s, fsam = ... " .. code, "@type.lua"))
    fsam.sam.define(name, {
      options = { rho = 0.05, eta = 0.01, sigma = 1, lambda = 0.9 },
      state = { "m" },
      ascend = function(s)
        local e = body(s, fsam)
        return e
      end,
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
