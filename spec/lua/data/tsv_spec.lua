--- Tab-separated files: which lines are rows.
local helper = require("spec.helper")
local tsv = require("fsam.data.tsv")

describe("a file of rows", function()
  it("may have empty lines, which are no rows but count as lines", function()
    local folder = helper.temp_dir()
    local rows = tsv.read(helper.write_file(folder .. "/a.tsv", "a\tb\n\r\n\nc\td\n\n"), 2)
    helper.remove_dir(folder)
    assert.same({ { "a", "b", line = 1 }, { "c", "d", line = 4 } }, rows)
  end)
end)
