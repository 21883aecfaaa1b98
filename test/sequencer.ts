/**
 * The order of test files. Long ones start first, because a long file that starts last runs alone while other
 * processors idle.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { longFiles, projectsInOrder } from './tiers.ts'

export default class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // By what the last run took, where that is known, or by size.
    const sorted = await super.sort(files)
    return sorted.sort((one, other) => rankOf(one) - rankOf(other))
  }
}

/** A worker is kept while the next file is of the same project, so that projects stay together. */
function rankOf({ project, moduleId }: TestSpecification): number {
  const { groupOrder } = project.config.sequence
  const order = projectsInOrder.indexOf(project.name)
  const isLong = longFiles.some((path) => moduleId.endsWith(`/${path}`))
  return (groupOrder * projectsInOrder.length + order) * 2 + (isLong ? 0 : 1)
}
