/** A load balancer for one test. It ends with the test at the latest. */
import { onTestFinished } from 'vitest'
import { type LoadBalancer, type LoadBalancerOptions, startLoadBalancer } from './balancer-process.ts'

export {
  type LoadBalancer,
  type LoadBalancerKind,
  type LoadBalancerOptions,
  loadBalancerKinds,
} from './balancer-process.ts'

export async function loadBalancer(options: LoadBalancerOptions): Promise<LoadBalancer> {
  const balancer = await startLoadBalancer(options)
  onTestFinished(() => balancer.stop())
  return balancer
}
