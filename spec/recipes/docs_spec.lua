-- The programs that the guides print are run as they stand.
local helper = require("spec.helper")

-- The code blocks of a Markdown file, in order.
local function blocks(path)
  local list = {}
  for code in helper.read_file(path):gmatch("```lua\n(.-)```") do
    list[#list + 1] = code
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
    local code = blocks("docs/first-recipe.md")[1]
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
local batches = { require("fsam.data.batch").pack({ { ids = tokenizer:encode("the key is here"),
  label = 1 } }, { pad_id = model.pad_id, position_offset = model.position_offset }) }
]] .. blocks("docs/landscape.md")[1])
    assert.matches("^[%d.]+\t[%d.]+\n%-?[%d.e-]+\n$", out)
  end)

  it("print sam-types that can be defined and trained with", function()
    for _, path in ipairs({ "README.md", "docs/sam-types.md" }) do
      local found
      for _, code in ipairs(blocks(path)) do
        local name = code:match('fsam%.sam%.define%("(%w+)"')
        if name then
          found = true
          run(('local fsam = require("fsam")\n%s\narg = { [0] = "recipes/cola.lua", "--sam-type", '
            .. '"fisher-%s", "--no-save", "--max-update", "2", "--max-train-samples", "64", '
            .. '"--log-format", "none" }\ndofile("recipes/cola.lua")'):format(code, name))
        end
      end
      assert.is_true(found, path)
    end
  end)
end)
